"""What the feed keeps, and what a reader gets of it."""

from __future__ import annotations

import json
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from eventpub.collector.page.ring import Ring


def ids(lines: list[str]) -> list[int]:
    return [json.loads(line)["id"] for line in lines]


@given(
    sizes=st.lists(st.integers(1, 30), max_size=40),
    max_events=st.integers(1, 50),
    limit=st.integers(1, 40),
    after=st.integers(0, 60),
)
def test_a_reader_gets_the_newest_events_in_order_each_once_and_is_told_what_it_missed(
    sizes: list[int], max_events: int, limit: int, after: int
) -> None:
    ring = Ring(max_events, 10**9)
    for size in sizes:
        ring.add('"outcome":"stored"', ["{}"] * size)
    total, start = sum(sizes), after
    seen: list[int] = []
    missed = 0
    while (portion := ring.read(after, limit)).lines:
        missed += portion.missed
        seen += ids(portion.lines)
        after = portion.last
    assert total - max_events < ring.first
    assert seen == [*range(max(start + 1, ring.first), total + 1)]
    assert missed == (max(0, ring.first - 1 - start) if seen else 0)


def test_a_reader_that_is_behind_is_told_how_many_events_are_gone() -> None:
    ring = Ring(10, 10**9)
    for _ in range(25):
        ring.add('"outcome":"stored"', ["{}"])
    portion = ring.read(3, 100)
    assert portion.missed == 12
    assert ids(portion.lines) == [*range(16, 26)]
    assert ring.read(portion.last, 100) == (0, [], 25)


def test_memory_is_bounded_by_size_as_well_as_by_number() -> None:
    ring = Ring(1_000_000, 2 * 1024**2)
    tracemalloc.start()
    for number in range(400):
        ring.add('"outcome":"stored"', [f'"{number}{"x" * 50_000}"'])
    used_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used_bytes < 4 * 1024**2
    assert ids(ring.read(0, 1000).lines)[-1] == 400


def test_the_newest_batch_is_kept_however_large_it_is() -> None:
    ring = Ring(5, 10)
    ring.add('"outcome":"stored"', ['"a"'] * 8)
    assert ids(ring.read(0, 100).lines) == [4, 5, 6, 7, 8]


def test_an_entry_is_one_line_though_its_event_came_in_several() -> None:
    ring = Ring(5, 10**9)
    ring.add('"outcome":"stored"', ['{\n  "a":\r\n 1\n}'])
    (line,) = ring.read(0, 1).lines
    assert not {"\n", "\r"} & {*line}
    assert json.loads(line)["event"] == {"a": 1}
