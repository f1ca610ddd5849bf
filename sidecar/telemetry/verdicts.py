"""What happens to a batch after an attempt, and what the log says about it; `delivery.answer` decides which."""

from __future__ import annotations

import enum
import logging
from typing import NamedTuple


class Meaning(NamedTuple):
    """What the log says of a verdict.

    Attributes:
        saying: what happens, after "batch was not delivered, ".
        remedy: what an operator can do about it; empty if it passes by itself.
    """

    saying: str
    remedy: str = ""


class Verdict(enum.Enum):
    """What happens to a batch; the table in `delivery.answer` says when."""

    ACCEPTED = Meaning("the collector has the batch")
    BISECT = Meaning("the batch is split to find the bad events")
    HALVE = Meaning("the batch is halved")
    HOLD = Meaning(
        "the collector rejects this key",
        "check key.name, key.secret and key.signature, and this host's clock; or where others are accepted, "
        "whether a firewall refuses what is in this batch",
    )
    MISTIMED = Meaning(
        "the collector refuses the date of this host's requests: their clocks differ",
        "set the clocks of both hosts (chrony or another NTP client)",
    )
    RECODE = Meaning("the batch is sent again in another encoding")
    RETRY = Meaning("the batch is kept")
    DOUBTED = Meaning(
        "the batch waits until other events are accepted, since a refusal alone proves nothing",
        "if that takes long, look whether a proxy, a firewall or a gateway answers in the collector's place",
    )
    MISCONFIGURED = Meaning(
        "the reply did not come from an eventpub collector",
        "check collector.hostname, collector.version and collector.scheme",
    )

    @property
    def remedy(self) -> str:
        """Return what an operator can do about it; empty if it passes by itself."""
        return self.value.remedy

    @property
    def advice(self) -> str:
        """Return what happens, and the remedy."""
        return f"{self.value.saying}: {self.remedy}" if self.remedy else self.value.saying

    @property
    def level(self) -> int:
        """Return the log level: error if an operator must fix something."""
        return logging.ERROR if self.remedy else logging.WARNING

    @property
    def is_outage(self) -> bool:
        """Return whether it is about the collector, not about this batch."""
        return self in (
            Verdict.RETRY,
            Verdict.DOUBTED,
            Verdict.HOLD,
            Verdict.MISTIMED,
            Verdict.MISCONFIGURED,
        )

    @property
    def fact(self) -> str:
        """Return what the log says of a batch that was not delivered."""
        return f"batch was not delivered, {self.advice}"
