"""What takes the place of a batch that cannot be delivered as it is: a plan; nothing here touches a disk."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from eventpub.sidecar.telemetry.reasons import DeadReason

from .dead_letters import Cause
from .framing import is_one_object
from .records import Header

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .batch import Batch
    from .records import Contents

_WHITE_SPACE = b" \t\n\r"  # around a JSON text, RFC 8259, section 2


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of each event of a batch; an event is named by its place in it.

    Attributes:
        groups: those that go on, by the new batch that they go on in.
        buried: those that are dead, and why.
        letters: the dead letters that find room.
        is_lossy: whether dead events that find no room are dropped; else they wait in a batch of their own.
    """

    groups: Sequence[Sequence[int]]
    buried: Mapping[int, Cause]
    letters: Mapping[int, bytes]
    is_lossy: bool

    @property
    def beyond(self) -> dict[int, Cause]:
        """Return the dead events that find no room."""
        return {place: self.buried[place] for place in sorted(self.buried) if place not in self.letters}

    @property
    def waiting(self) -> dict[int, Cause]:
        """Return the dead events that wait for room."""
        return {} if self.is_lossy else self.beyond

    @property
    def parts(self) -> list[Sequence[int]]:
        """Return the events of each new batch: the groups, and then those that wait."""
        return [*filter(None, self.groups), *([list(self.waiting)] if self.waiting else [])]

    @property
    def is_needed(self) -> bool:
        """Tell whether anything changes: not where all events just wait."""
        return bool(any(self.groups) or self.letters or not self.waiting)

    def limit_letters(self, count: int) -> Plan:
        """Return the plan with `count` of the letters; all other dead events wait."""
        return replace(self, letters=dict(list(self.letters.items())[:count]), is_lossy=False)


class Sifted(NamedTuple):
    """The events of a batch, without the white space around them, and what is to become of them."""

    events: list[bytes]
    good: list[int]
    buried: dict[int, Cause]


def sift_events(events: Sequence[bytes]) -> Sifted:
    """Separate events that can be sent from messages that are none."""
    bare = [event.strip(_WHITE_SPACE) for event in events]
    good = [place for place, event in enumerate(bare) if is_one_object(event)]
    cause = Cause(DeadReason.MALFORMED, detail="the message is not one JSON object")
    buried = dict.fromkeys(sorted(set(range(len(events))).difference(good)), cause)
    return Sifted(
        [events[place] if place in buried else bare[place] for place in range(len(events))], good, buried
    )


def header_of(batch: Batch, contents: Contents) -> Header:
    """Return a batch's header; where it is damaged, one with an id derived from its name and events."""
    if contents.header:
        return contents.header
    digest = hashlib.blake2b(batch.path.name.encode(), digest_size=16)
    for event in contents.events:
        digest.update(event)
    return Header(digest.hexdigest(), time.time_ns() // 1000)
