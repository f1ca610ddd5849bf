"""Which fields came that no schema knows: counted, and told once by key and id."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections import Counter

logger = logging.getLogger(__name__)

_MAX_TOLD = 1000  # ids are the senders' choice; beyond that they are counted only


class UnknownFieldsLog:
    """Notes fields of unknown ids.

    Attributes:
        total: how many there were since the start.
    """

    def __init__(self) -> None:
        self.total = 0
        self._told: set[tuple[str, str]] = set()

    def note(self, key_name: str, unknown: Counter[str]) -> None:
        """Count what came in a batch, and log each id that this key never sent before."""
        self.total += unknown.total()
        for number in unknown:
            if (key_name, number) not in self._told and len(self._told) < _MAX_TOLD:
                self._told.add((key_name, number))
                logger.warning(
                    "field is not in the schema, and is stored under unknown_fields key=%s id=%s; "
                    "name the newer schema in [schemas]",
                    key_name,
                    number,
                )
