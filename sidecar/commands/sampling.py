"""What the sidecars of a host do, asked again and again: one row each, with rates between two questions."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from eventpub.cli.findings import Finding, Level, find_worst
from eventpub.cli.wording import count_noun
from eventpub.sidecar.status.ask import Asked, Condition, ask_slot

from .judgement import WORDS, judge_letters, judge_queue, judge_record, judge_silence
from .overview import SlotSight
from .queue_sight import QueueSight, look_at_queue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from eventpub.sidecar.status.record import StatusRecord

HISTORY = 120  # rates kept of each sidecar
_MAX_ASKED = 16  # at a time
_BLOCKS = "▁▂▃▄▅▆▇█"


class Rates(NamedTuple):
    """Events a second since the last question."""

    received: float
    delivered: float


@dataclass(frozen=True, slots=True)
class SidecarRow:
    """One sidecar, or a slot that one has left events in.

    Attributes:
        slot: its folder.
        asked: what came of asking it.
        rates: events a second, the newest last; empty until it was asked twice.
        queue_sight: the kernel's queue, for the first sidecar of each.
    """

    slot: Path
    asked: Asked
    rates: Sequence[Rates] = field(default=())
    queue_sight: QueueSight | None = None

    @property
    def queue(self) -> str:
        """The name of its queue."""
        return self.slot.parent.name

    @property
    def number(self) -> int:
        """The number of its slot."""
        return int(self.slot.name)

    @property
    def record(self) -> StatusRecord | None:
        """What it tells of itself, if it does."""
        return self.asked.record

    @property
    def state(self) -> str:
        """One word for how it is."""
        if self.record is None:
            return self.asked.condition.value
        return "frozen" if not self.record.is_alive else self.record.state

    @property
    def received_rate(self) -> float | None:
        """Events a second that it takes; None until it was asked twice."""
        return self.rates[-1].received if self.rates else None

    @property
    def delivered_rate(self) -> float | None:
        """Events a second that the collector accepts; None until it was asked twice."""
        return self.rates[-1].delivered if self.rates else None

    @property
    def depth(self) -> int:
        """How many messages wait in the queue, as far as that is known."""
        return (self.record.queue.depth_messages or 0) if self.record else 0

    @property
    def spooled(self) -> int:
        """How many events its spool holds, as far as that is known."""
        return self.record.spool.events if self.record else 0

    @property
    def dead_letters(self) -> int:
        """How many dead letters its queue has, as far as that is known."""
        return self.record.dead_letters.count if self.record else 0

    @property
    def findings(self) -> list[Finding]:
        """What `eventpub status` would say of it, the worst first."""
        name = f"{self.queue}/{self.number}"
        if self.record is not None:
            found = judge_record(self.record, name, self.record.taken_at)
            if self.dead_letters:
                found = chain(found, [judge_letters(self.dead_letters, name, f"--queue-name {self.queue}")])
        elif self.asked.condition is Condition.DEAD:
            remedy = f"start one: systemctl start eventpub-sidecar@{self.queue}, or eventpub sidecar CONFIG.ini"
            found = iter([Finding(Level.FAILING, f"{name}: {self.asked.words}, and it has events", remedy)])
        else:
            found = judge_silence(SlotSight(self.asked), name, has_others=True)
        if self.queue_sight:
            found = chain(found, judge_queue(self.queue_sight, is_served=self.record is not None))
        return sorted(found, key=lambda finding: -finding.level.value)

    @property
    def level(self) -> Level:
        """How bad it is."""
        return find_worst(finding.level for finding in self.findings)

    @property
    def trouble(self) -> str:
        """The worst that is wrong with it, in words that begin with its name; empty if all is well."""
        return self.findings[0].text if self.findings else ""

    @property
    def oldest_seconds(self) -> float:
        """How long the first event of its oldest batch has waited; 0 if none waits."""
        at = self.record.spool.oldest_at if self.record else None
        return 0.0 if at is None or self.record is None else max(0.0, self.record.taken_at - at)


class Sampler:
    """Asks sidecars.

    Args:
        find: returns the folders of their slots.
    """

    def __init__(self, find: Callable[[], Iterable[Path]]) -> None:
        self._find = find
        self._before: dict[Path, StatusRecord] = {}
        self._rates: dict[Path, deque[Rates]] = {}

    def sample(self) -> list[SidecarRow]:
        """Ask all, and return a row for each that runs and for each dead one that has left events.

        Raises:
            OSError: this user may not look.
        """
        slots = [*self._find()]
        with ThreadPoolExecutor(_MAX_ASKED) as pool:
            answers = [*pool.map(ask_slot, slots)]
        shown = [asked for asked in answers if asked.condition is not Condition.DEAD or has_batches(asked.slot)]
        for slot in self._rates.keys() - {asked.slot for asked in shown}:
            del self._rates[slot]
        firsts = {asked.slot.parent.name: asked.slot for asked in reversed(shown)}
        sights = {slot: look_at_queue(name, with_holders=False) for name, slot in firsts.items()}
        return [
            SidecarRow(asked.slot, asked, tuple(self._measure(asked)), sights.get(asked.slot))
            for asked in shown
        ]

    def _measure(self, asked: Asked) -> Iterable[Rates]:
        rates = self._rates.setdefault(asked.slot, deque(maxlen=HISTORY))
        now, before = asked.record, self._before.pop(asked.slot, None)
        if now is None:
            return rates
        self._before[asked.slot] = now
        if before is None or before.process.started_at != now.process.started_at:
            return rates
        seconds = now.taken_at - before.taken_at
        if seconds > 0:  # or the clock was set
            rates.append(
                Rates(
                    (now.ledger.received - before.ledger.received) / seconds,
                    (now.ledger.delivered - before.ledger.delivered) / seconds,
                )
            )
        return rates


def has_batches(slot: Path) -> bool:
    """Tell whether a slot holds batch files."""
    try:
        return any(path.suffix in (".open", ".batch") for path in slot.iterdir())
    except OSError:
        return False


def summarize_rows(rows: Sequence[SidecarRow]) -> tuple[str, str]:
    """Return one word for all sidecars, OK, DEGRADED or FAILING, and why."""
    if not rows:
        return (
            "NONE",
            "no sidecar runs on this host, as far as this user can see; eventpub status tells what waits",
        )
    worst = max(rows, key=lambda row: row.level.value)
    others = sum(row.level is not Level.OK for row in rows) - 1
    if worst.level is not Level.OK:
        return WORDS[worst.level], worst.trouble + (f" (and {others} more)" if others else "")
    queues = len({row.slot.parent for row in rows})
    return WORDS[Level.OK], f"{count_noun(queues, 'queue')}, {count_noun(len(rows), 'sidecar')}"


def draw_sparkline(values: Sequence[float], width: int) -> str:
    """Return the newest values as blocks of heights, the largest full; those before the first are blank."""
    shown = values[-width:]
    most = max(shown, default=0)
    heights = (0 if most <= 0 else round(value / most * (len(_BLOCKS) - 1)) for value in shown)
    return "".join(_BLOCKS[max(0, height)] for height in heights).rjust(width)


def sample_twice(sampler: Sampler, seconds: float) -> list[SidecarRow]:
    """Return rows with the rates of the time from now on."""
    sampler.sample()
    time.sleep(seconds)
    return sampler.sample()
