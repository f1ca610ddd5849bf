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
from eventpub.sidecar.status.ask import Condition, ask_slot, find_slots

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def check_sidecars(spool: Path, queue_name: str, *, words: str) -> Iterator[Finding]:
    """Ask the sidecars of a queue; `words` are the arguments of the command that starts one."""
    try:
        slots = find_slots(spool, queue_name)
    except OSError:  # no sidecar has run yet, or the checks of the spool have told
        return
    for slot in slots:
        asked, name = ask_slot(slot), f"{queue_name}, slot {slot.name}"
        if asked.condition is Condition.DEAD:
            yield from _judge_left(
                slot, name, f"systemctl start eventpub-sidecar@{queue_name}, or eventpub sidecar {words}"
            )
        elif asked.record is None:
            yield from judge_silence(SlotSight(asked), name, has_others=True)
        elif found := [*judge_record(asked.record, name, time.time())]:
            yield from found
        else:
            yield Finding(Level.OK, f"{name}: the sidecar{f' {asked.pid}' if asked.pid else ''} runs")


def _judge_left(slot: Path, name: str, remedy: str) -> Iterator[Finding]:
    with contextlib.suppress(OSError):  # the checks of the spool have told
        if events := pending.read_slot(slot).events:
            text = f"{name}: no sidecar holds it, and {count_noun(events, 'event')} in it wait for one"
            yield Finding(Level.WARNING, text, remedy)
