"""What was accepted, held against what arrived."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

POISON = b"\xff"  # no UTF-8: the collector cannot take the body that holds it


@dataclass(frozen=True)
class Books:
    """What became of the accepted events."""

    accepted: int
    stored: int
    dead: int
    lost: int
    doubled: int
    altered: int  # or invented: stored, and never accepted in this form
    innocent: int  # dead, and no poison

    @property
    def hold(self) -> bool:
        return not (self.lost or self.doubled or self.altered or self.innocent)

    def __str__(self) -> str:
        return "\n".join(f"  {name:9}{value:>12,}" for name, value in vars(self).items())


def draw_up(accepted: Iterable[bytes], stored: Iterable[bytes], dead: Iterable[bytes]) -> Books:
    """Hold what arrived against what was accepted; a million events take 100 MB."""
    dead = list(dead)
    was_accepted, was_stored, is_dead = (Counter(map(hash, events)) for events in (accepted, stored, dead))
    arrived = was_stored + is_dead
    return Books(
        accepted=was_accepted.total(),
        stored=was_stored.total(),
        dead=is_dead.total(),
        lost=sum(event not in arrived for event in was_accepted),
        doubled=sum(number - 1 for number in arrived.values()),
        altered=sum(event not in was_accepted for event in arrived),
        innocent=sum(POISON not in event for event in dead),
    )
