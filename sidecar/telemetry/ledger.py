"""The ledger of one sidecar: every event that came in is delivered, dead, dropped or still spooled."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Ledger:
    """Event counts since the start of the process."""

    received: int
    recovered: int
    delivered: int
    dead: int
    dropped: int
    spooled: int

    @property
    def unaccounted(self) -> int:
        """Events that came in and are missing: 0, unless the sidecar has a bug."""
        return self.received + self.recovered - self.delivered - self.dead - self.dropped - self.spooled

    def facts(self) -> dict[str, int]:
        """Return the counts and what is unaccounted for, by name."""
        return {**asdict(self), "unaccounted": self.unaccounted}
