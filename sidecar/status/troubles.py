"""What is wrong with a sidecar, from its record alone; the worst first.

| code      | what                                                                      | blocks |
|-----------|---------------------------------------------------------------------------|--------|
| `frozen`  | a step of a stage takes longer than it may: a disk hangs, or the hub      | yes    |
| `paused`  | no messages are taken: the spool is full, its disk fails, there is no queue | yes    |
| `refused` | the collector refuses the key or the date, or what answers is no collector | yes    |
| `overdue` | events wait, and nothing was accepted for `status.overdue`                | yes    |
| `clock`   | this host's clock and the collector's are far apart                       | yes    |
| `letters` | the dead letters are full, so that refused events wait                    | no     |
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .record import FROZEN, Trouble

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .record import StagePart, StatusRecord

CLOCK_SECONDS = 60.0  # a collector that checks the time allows five minutes; below one, nobody notices
_REFUSALS = ("hold", "mistimed", "misconfigured", "doubted")


def find_troubles(record: StatusRecord, *, overdue_seconds: float, hung_seconds: float) -> Iterator[Trouble]:
    """Yield what is wrong.

    Args:
        record: the facts.
        overdue_seconds: how long events may wait while nothing is accepted.
        hung_seconds: how long a step of a stage may take.
    """
    for stage in record.stages:
        if is_hung(stage, hung_seconds):
            yield _describe_hung(stage, record.taken_at)
    if record.state == "paused":
        yield Trouble(code="paused", words=record.why, since=record.since)
    if record.state == "refused":
        yield Trouble(code="refused", words=record.why, since=record.since)
    elif overdue := _find_overdue(record, overdue_seconds):
        yield overdue
    offset = record.delivery.clock_offset_seconds
    if offset is not None and abs(offset) > CLOCK_SECONDS:
        direction = "behind" if offset > 0 else "ahead of"
        yield Trouble(
            code="clock",
            words=f"this host's clock is {abs(offset):,.0f} s {direction} the collector's: see chrony or ntp",
        )
    letters = record.dead_letters
    if letters.limit_bytes and letters.size_bytes >= letters.limit_bytes * 0.98:
        yield Trouble(
            code="letters",
            words=f"the dead letters take {letters.size_bytes:,} of {letters.limit_bytes:,} bytes: look at "
            "them (eventpub dead-letters list), then drop some or raise dead_letters.max_size",
            is_blocking=False,
        )


def is_hung(stage: StagePart, hung_seconds: float) -> bool:
    """Tell whether a stage has been at one step for too long."""
    return stage.doing_seconds is not None and stage.doing_seconds > hung_seconds


def is_refusal(verdict: str) -> bool:
    """Tell whether a verdict says that the collector will go on refusing until somebody acts."""
    return verdict in _REFUSALS


def _describe_hung(stage: StagePart, now: float) -> Trouble:
    seconds = stage.doing_seconds or 0.0
    return Trouble(
        code=FROZEN,
        words=f"the stage {stage.name} hangs: it has been {stage.doing} for {seconds:,.0f} s",
        since=now - seconds,
    )


def _find_overdue(record: StatusRecord, overdue_seconds: float) -> Trouble | None:
    delivery, spool = record.delivery, record.spool
    if spool.oldest_at is None:
        return None
    since = max(record.process.started_at, delivery.last_success_at or 0.0, spool.oldest_at)
    if record.taken_at - since <= overdue_seconds:
        return None
    last = delivery.last_refusal
    last_words = f": {last.words}" if last and delivery.failing_since is not None else ""
    words = f"{spool.events:,} events wait, and none was accepted for {record.taken_at - since:,.0f} s"
    return Trouble(code="overdue", words=words + last_words, since=since)
