"""Dead letters: events that the collector refuses permanently, one JSON file each, with the reason.

A dead letter is named after its batch and its place in it, so writing the same one again after a crash replaces
the file. Its `event` is the text that came from the queue (`event_base64` if that is not text).
"""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eventpub import wire

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eventpub.sidecar.telemetry.reasons import DeadReason

SUFFIX = ".json"


@dataclass(frozen=True, slots=True)
class Cause:
    """Why an event is dead.

    Attributes:
        reason: the kind of reason.
        status: the HTTP status of the answer; None if the sidecar itself found the reason.
        detail: what the collector said, at most 500 characters.
    """

    reason: DeadReason
    status: int | None = None
    detail: str = ""


def letter_name(batch_id: str, index: int) -> str:
    """Return the file name of the dead letter for event `index` of a batch."""
    return f"{batch_id}-{index:05d}{SUFFIX}"


def write_letter(
    event: bytes,
    cause: Cause,
    *,
    queue: str,
    batch_id: str,
    index: int,
    attempts: int,
    version: str | None = None,
) -> bytes:
    """Return the bytes of a dead letter."""
    document: dict[str, object] = {
        "died_at": _format_now(),
        "refused_at": None,  # set by the last replay
        "queue": queue,
        "reason": cause.reason.value,
        "status": cause.status,
        "detail": cause.detail,
        "batch_id": batch_id,
        "index": index,
        "attempts": attempts,
        "version": version,  # of the wire, under which it was received
    }
    try:
        document["event"] = event.decode()
    except UnicodeDecodeError:
        document["event_base64"] = base64.b64encode(event).decode()
    return _encode_letter(document)


def read_letter(data: bytes) -> dict[str, Any]:
    """Return a dead letter as it was written.

    Raises:
        ValueError: these are not the bytes of a dead letter; the message says why.
    """
    try:
        document = json.loads(data)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(document, dict) or not isinstance(document.get("died_at"), str):
        raise ValueError("it is not a dead letter: died_at is missing")  # noqa: TRY004, json raises no other
    event_of(document)
    return document


def event_of(document: Mapping[str, Any]) -> bytes:
    """Return the event of a dead letter, as it came from the queue.

    Raises:
        ValueError: it has none.
    """
    text, coded = document.get("event"), document.get("event_base64")
    if isinstance(text, str):
        return text.encode()
    if isinstance(coded, str):
        return base64.b64decode(coded, validate=True)
    raise ValueError("it is not a dead letter: it has no event")


def version_of(document: Mapping[str, Any]) -> str | None:
    """Return the version of the wire under which the event of a dead letter was received, if it says so."""
    version = document.get("version")
    return version if version in wire.VERSIONS else None


def refused_again(document: Mapping[str, Any], cause: Cause) -> bytes:
    """Return the bytes of a dead letter that was sent again, with the reason why it stays."""
    news = {
        "refused_at": _format_now(),
        "reason": cause.reason.value,
        "status": cause.status,
        "detail": cause.detail,
    }
    return _encode_letter({**document, **news, "attempts": int(document.get("attempts") or 0) + 1})


def corrected(document: Mapping[str, Any], event: bytes) -> bytes:
    """Return the bytes of a dead letter whose event was corrected; its first event is kept in `original_…`."""
    kept = {name: value for name, value in document.items() if name not in ("event", "event_base64")}
    if not any(name.startswith("original_event") for name in kept):
        originals = {name: document[name] for name in ("event", "event_base64") if name in document}
        kept.update({f"original_{name}": value for name, value in originals.items()})
    return _encode_letter({**kept, "edited_at": _format_now(), "event": event.decode()})


def _encode_letter(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, ensure_ascii=False, indent=1).encode(errors="surrogatepass") + b"\n"


def _format_now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
