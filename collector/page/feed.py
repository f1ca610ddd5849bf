"""What the collector did with each event: noted by the application, read by pages and tests.

To note something never waits and never fails for want of a reader.
"""

from __future__ import annotations

import json
import secrets
import sys
import time
from typing import TYPE_CHECKING, Any

from eventpub.collector.store import Outcome

from . import refused
from .kept import Kept
from .tallies import Tallies

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eventpub.collector.events import Schemas
    from eventpub.collector.responses import Response
    from eventpub.collector.store import IncomingBatch, Receipt

    from .kept import Place, Portion

_MAX_EXCERPT_BYTES = 4096


class Feed:
    """The events of late, and how many there were.

    Args:
        schemas: of the keys.
        max_events: how many stored ones are kept, and how many refused ones.
        max_bytes: how much memory they may take.
        clock: the time of day, in seconds since 1970.

    Attributes:
        epoch: tells this feed from that of an earlier process; changes with every reset, too.
        tallies: the counts.
        is_closed: whether the collector stops; readers leave then.
    """

    def __init__(
        self, schemas: Schemas, max_events: int, max_bytes: int, clock: Callable[[], float] = time.time
    ) -> None:
        self.schemas = schemas
        self.max_events = max_events
        self._clock = clock
        self._kept = Kept(max_events, max_bytes)
        self.tallies = Tallies()
        self.epoch = secrets.token_hex(4)
        self.is_closed = False

    def read(self, place: Place, max_events: int, max_characters: int = sys.maxsize) -> Portion:
        """Return entries after a place, oldest first, until there are so many events or characters."""
        return self._kept.read(place, max_events, max_characters)

    def reset(self) -> None:
        """Forget entries and counts."""
        self._kept.clear()
        self.tallies = Tallies()
        self.epoch = secrets.token_hex(4)

    def close(self) -> None:
        """Have readers leave."""
        self.is_closed = True

    def add_receipt(self, batch: IncomingBatch, receipt: Receipt) -> None:
        """Note what the store did with a batch: the events it has now, or how many came once more."""
        if receipt.outcome is Outcome.STORED and batch.events:
            about = {"version": batch.version, "batch_id": batch.batch_id}
            head = _head("stored", batch.key_name, batch.received_at, about)
            self._kept.add_stored(head, [row.event for row in batch.events])
            self.tallies.add_stored(batch.key_name, batch.events, batch.received_at)
        elif receipt.outcome is Outcome.DUPLICATE:
            self.tallies.add_duplicate(batch.key_name, len(batch.events))

    def add_refusal(
        self, answer: Response, key_name: str, version: str, facts: Mapping[str, object], body: bytes = b""
    ) -> None:
        """Note a request that was refused: one entry for each event that is to blame, or one for all.

        Args:
            answer: the refusal.
            key_name: who signed it; for want of a valid signature, who it claims to be from.
            version: of the wire.
            facts: what the access log says of it.
            body: plain; empty where it is not known who wrote it, which is then not shown.
        """
        now = self._clock()
        error = str(answer.fields["error"])
        rejected: Any = answer.fields.get("rejected", ())
        texts = refused.pick_texts(version, body, rejected) if rejected else []
        about = {
            "version": version,
            "batch_id": facts.get("batch"),
            "attempt": facts.get("attempt"),
            "status": answer.status,
            "error": error,
        }
        head = _head("refused", key_name, now, about)
        kinds: list[tuple[str, str | None]] = [(error, None)]
        if rejected and len(texts) == len(rejected):
            cls = self.schemas.find_class(key_name) if version == "2" else None
            faults = [{"field": refused.find_field(fault["reason"]), **fault} for fault in rejected]
            self._kept.add_refused(
                head,
                [refused.show_event(text, cls) for text in texts],
                [
                    _members({**fault, "raw": text[: refused.MAX_RAW_CHARACTERS]})
                    for fault, text in zip(faults, texts, strict=True)
                ],
            )
            kinds = [(error, fault["field"]) for fault in faults]
        else:
            excerpt = body[:_MAX_EXCERPT_BYTES].decode(errors="replace")
            cause = {"cause": facts["cause"]} if "cause" in facts else {}
            whole = {"reason": answer.fields["reason"], **cause, "raw": excerpt}
            self._kept.add_refused(head, ["null"], [_members(whole)])
        count = int(str(answer.fields.get("rejected_count", 1)))
        self.tallies.add_refused(key_name, kinds, count, now)


def _head(outcome: str, key_name: str, received_at: float, about: Mapping[str, object]) -> str:
    """Return the members that all entries of a request begin with."""
    common = {"received_at": round(received_at, 3), "key": key_name, **about}
    return f'"outcome":"{outcome}"{_members(common)}'


def _members(fields: Mapping[str, object]) -> str:
    """Return fields as members of a JSON object, to be written after others."""
    return "," + json.dumps(fields, separators=(",", ":"))[1:-1]
