"""What the feed keeps, and what a reader gets of it."""

from __future__ import annotations

import json
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from eventpub.collector.page.kept import Kept, Place

STORED, REFUSED = '"outcome":"stored"', '"outcome":"refused"'


def add(kept: Kept, count: int, *, is_refused: bool = False) -> None:
    if is_refused:
        kept.add_refused(REFUSED, ["{}"] * count, [""] * count)
    else:
        kept.add_stored(STORED, ["{}"] * count)


def ids(lines: list[str]) -> list[int]:
    return [json.loads(line)["id"] for line in lines]


@given(
    groups=st.lists(st.tuples(st.booleans(), st.integers(1, 30)), max_size=40),
    max_events=st.integers(1, 50),
    limit=st.integers(1, 40),
    max_characters=st.integers(1, 2000),
    start=st.builds(Place, st.integers(0, 60), st.integers(0, 60)),
)
def test_a_reader_gets_the_newest_of_each_outcome_in_order_each_once_and_is_told_what_it_missed(
    groups: list[tuple[bool, int]], max_events: int, limit: int, max_characters: int, start: Place
) -> None:
    kept = Kept(max_events, 10**9)
    came: tuple[list[list[int]], list[list[int]]] = ([], [])
    last = 0
    for is_refused, count in groups:
        add(kept, count, is_refused=is_refused)
        came[is_refused].append([*range(last + 1, last + count + 1)])
        last += count
    wanted, gone = list[int](), 0
    for requests, number in zip(came, start, strict=True):
        total = sum(map(len, requests))
        while len(requests) > 1 and sum(map(len, requests)) > max_events:
            requests.pop(0)  # what came with one request goes at once
        there = [one for request in requests for one in request][-max_events:]
        first = max(total - len(there), number)
        gone += first - number
        wanted += there[first - total + len(there) :]
    place, seen, missed = start, list[int](), 0
    while True:
        portion = kept.read(place, limit, max_characters)
        place = portion.place
        missed += portion.missed
        seen += ids(portion.lines)
        assert len(portion.lines) <= limit
        assert sum(map(len, portion.lines[:-1])) < max_characters
        if not portion.has_more:
            break
        assert portion.lines
    assert seen == sorted(wanted)
    assert missed == gone


def test_a_reader_that_is_behind_is_told_how_many_events_are_gone() -> None:
    kept = Kept(10, 10**9)
    for _ in range(25):
        add(kept, 1)
    portion = kept.read(Place(3, 0), 100)
    assert portion.missed == 12
    assert ids(portion.lines) == [*range(16, 26)]
    assert kept.read(portion.place, 100) == (0, [], Place(25, 0), False)


def test_a_flood_of_stored_events_does_not_push_out_the_refused_ones_nor_the_other_way_round() -> None:
    few, small = Kept(10, 10**9), Kept(10**6, 2 * 1024**2)
    for kept in (few, small):
        add(kept, 1, is_refused=True)
        for _ in range(40):
            kept.add_stored(STORED, [f'"{"x" * 1000}"'] * 100)
        assert ids(kept.read(Place(), 1).lines) == [1]
        add(kept, 1)
        for _ in range(40):
            kept.add_refused(REFUSED, [f'"{"x" * 1000}"'] * 100, [""] * 100)
        assert 4002 in ids(kept.read(Place(), 10**6).lines)


def test_memory_is_bounded_by_size_as_well_as_by_number() -> None:
    kept = Kept(1_000_000, 2 * 1024**2)
    tracemalloc.start()
    for number in range(400):
        kept.add_stored(STORED, [f'"{number}{"x" * 50_000}"'])
        kept.add_refused(REFUSED, [f'"{number}{"x" * 50_000}"'], [""])
    used_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used_bytes < 4 * 1024**2
    assert ids(kept.read(Place(), 1000).lines)[-1] == 800


def test_the_newest_batch_is_kept_however_large_it_is() -> None:
    kept = Kept(5, 10)
    kept.add_stored(STORED, ['"a"'] * 8)
    assert ids(kept.read(Place(), 100).lines) == [4, 5, 6, 7, 8]


def test_an_entry_is_one_line_though_its_event_came_in_several() -> None:
    kept = Kept(5, 10**9)
    kept.add_stored(STORED, ['{\n  "a":\r\n 1\n}'])
    (line,) = kept.read(Place(), 1).lines
    assert not {"\n", "\r"} & {*line}
    assert json.loads(line)["event"] == {"a": 1}
