"""What is wrong with a sidecar, from its record alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eventpub.sidecar.status.record import (
    DeliveryPart,
    LettersPart,
    ProcessPart,
    QueuePart,
    RefusalPart,
    SpoolPart,
    StagePart,
    StatusRecord,
    Trouble,
)
from eventpub.sidecar.status.troubles import find_troubles

WELL = StatusRecord(
    taken_at=1000.0,
    state="running",
    process=ProcessPart(
        pid=7, eventpub="0", loops="compiled", slot=0, directory="/s/q/0", config_path="q.ini", started_at=100.0
    ),
    queue=QueuePart(name="q"),
    spool=SpoolPart(limit_bytes=100),
    dead_letters=LettersPart(limit_bytes=100),
)


def find(**fields: object) -> list[Trouble]:
    return list(find_troubles(replace(WELL, **fields), overdue_seconds=60, hung_seconds=10))  # type: ignore[arg-type]


def test_nothing_is_wrong_with_one_that_is_well() -> None:
    assert find() == []


def test_a_step_that_takes_too_long_is_a_frozen_stage() -> None:
    assert find(stages=(StagePart(name="seal", doing="sealing a batch", doing_seconds=9.0),)) == []
    [trouble] = find(stages=(StagePart(name="seal", doing="sealing a batch", doing_seconds=12.0),))
    assert (trouble.code, trouble.since) == ("frozen", 988.0)
    assert trouble.words == "the stage seal hangs: it has been sealing a batch for 12 s"


@pytest.mark.parametrize("state", ["paused", "refused"])
def test_a_state_that_is_not_running_is_told_in_its_own_words(state: str) -> None:
    assert find(state=state, why="the spool is full", since=900.0) == [
        Trouble(code=state, words="the spool is full", since=900.0)
    ]


@pytest.mark.parametrize(
    ("started_at", "success_at", "oldest_at", "since"),
    [
        (100.0, None, 200.0, 200.0),  # it was never accepted
        (900.0, None, 200.0, 900.0),  # it was found at the start
        (100.0, 930.0, 200.0, 930.0),  # others were accepted
        (100.0, 980.0, 200.0, None),  # just now
        (100.0, 200.0, 990.0, None),  # nothing was to be delivered before
        (100.0, 200.0, None, None),
    ],
)
def test_events_are_overdue_when_they_wait_and_none_is_accepted(
    started_at: float, success_at: float | None, oldest_at: float | None, since: float | None
) -> None:
    found = find(
        process=replace(WELL.process, started_at=started_at),
        spool=SpoolPart(events=5, oldest_at=oldest_at),
        delivery=DeliveryPart(
            last_success_at=success_at,
            failing_since=200.0,
            last_refusal=RefusalPart(at=999.0, verdict="retry", status=503, kind="http", words="come back"),
        ),
    )
    assert [trouble.since for trouble in found] == ([] if since is None else [since])
    assert all(trouble.words.startswith("5 events wait, and none was accepted for ") for trouble in found)
    assert all(trouble.words.endswith(" s: come back") for trouble in found)


@pytest.mark.parametrize(("offset", "words"), [(-120.0, "120 s ahead of"), (3600.0, "3,600 s behind")])
def test_clocks_that_are_far_apart_are_told_with_the_direction(offset: float, words: str) -> None:
    [trouble] = find(delivery=DeliveryPart(clock_offset_seconds=offset))
    assert (trouble.code, trouble.is_blocking) == ("clock", True)
    assert words in trouble.words
    assert find(delivery=DeliveryPart(clock_offset_seconds=offset / 100)) == []


def test_full_dead_letters_are_told_and_block_nothing() -> None:
    [trouble] = find(dead_letters=LettersPart(size_bytes=99, limit_bytes=100))
    assert (trouble.code, trouble.is_blocking) == ("letters", False)
    assert "eventpub dead-letters list" in trouble.words
