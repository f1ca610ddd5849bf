"""The ledger of one sidecar: every event that came in is delivered, dead, dropped or still spooled."""

from __future__ import annotations

from dataclasses import dataclass, fields


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

    def __str__(self) -> str:
        counts = (f"{field.name}={getattr(self, field.name)}" for field in fields(self))
        return f"{' '.join(counts)} unaccounted={self.unaccounted}"
