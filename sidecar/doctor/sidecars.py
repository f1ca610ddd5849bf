"""Whether the sidecars that have a queue's slots run, and what they say of themselves."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from eventpub.cli.findings import Finding, Level
from eventpub.cli.wording import count_noun
from eventpub.sidecar.commands import pending
from eventpub.sidecar.commands.judgement import judge_record, judge_silence
from eventpub.sidecar.commands.overview import SlotSight
from eventpub.sidecar.commands.queue_sight import look_at_queue
from eventpub.sidecar.status.ask import Condition, ask_slot, find_slots

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def check_sidecars(spool: Path, queue_name: str, *, words: str) -> Iterator[Finding]:
    """Ask the sidecars of a queue; `words` are the arguments of the command that starts one."""
    remedy = f"systemctl start eventpub-sidecar@{queue_name}, or eventpub sidecar {words}"
    try:
        slots = find_slots(spool, queue_name)
    except FileNotFoundError:  # no sidecar has run yet
        slots = []
    except OSError:  # the checks of the spool have told
        return
    is_served = False
    for slot in slots:
        asked, name = ask_slot(slot), f"{queue_name}, slot {slot.name}"
        is_served |= asked.condition is not Condition.DEAD
        if asked.condition is Condition.DEAD:
            yield from _judge_left(slot, name, remedy)
        elif asked.record is None:
            yield from judge_silence(SlotSight(asked), name, has_others=True)
        elif found := [*judge_record(asked.record, name, time.time())]:
            yield from found
        else:
            yield Finding(Level.OK, f"{name}: the sidecar{f' {asked.pid}' if asked.pid else ''} runs")
    if not is_served:
        yield _judge_absence(queue_name, remedy)


def _judge_absence(queue_name: str, remedy: str) -> Finding:
    """Say that no sidecar runs: what is tried may be the configuration of one that is started next."""
    waiting = look_at_queue(queue_name, with_holders=False).depth
    if not waiting:
        return Finding(Level.OK, f"{queue_name}: no sidecar runs now, and the queue is empty", remedy)
    verb = "waits" if waiting == 1 else "wait"
    text = f"{queue_name}: no sidecar runs, and {count_noun(waiting, 'event')} in the queue {verb} for one"
    return Finding(Level.FAILING, text, remedy)


def _judge_left(slot: Path, name: str, remedy: str) -> Iterator[Finding]:
    with contextlib.suppress(OSError):  # the checks of the spool have told
        if events := pending.read_slot(slot).events:
            text = f"{name}: no sidecar holds it, and {count_noun(events, 'event')} in it wait for one"
            yield Finding(Level.WARNING, text, remedy)
