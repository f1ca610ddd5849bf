"""Dead letters: the events the collector will never take, one JSON file each, with the reason.

A dead letter is named after its batch and its place in it, so burying the same event again after a crash
replaces the file. Its `event` is the text that came from the queue (`event_base64` where that is no text).

People and other sidecars of the queue add and remove letters too, so how much room there is stands nowhere but
in the folder.
"""

from __future__ import annotations

import base64
import contextlib
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from eventpub.sidecar.telemetry.reasons import DeadReason

SUFFIX = ".json"
_OTHERS_SECONDS = 1.0  # how long what other sidecars of the queue add may go unnoticed
_TICK_NS = 1_000_000_000  # file systems count in units of 4 ms to 1 s


@dataclass(frozen=True, slots=True)
class Cause:
    """Why an event is dead.

    Attributes:
        reason: the kind of it.
        status: the HTTP status of the answer; None where the sidecar itself found it.
        detail: what the collector said, at most 500 characters.
    """

    reason: DeadReason
    status: int | None = None
    detail: str = ""


class Room:
    """What `dead_letters.max_size` leaves free, in the folder of the dead letters or that of damaged files.

    Args:
        directory: the folder.
        max_bytes: how much the files in it may take together.

    Raises:
        OSError: the folder cannot be read.
    """

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._measure()

    def beyond(self, sizes_bytes: Mapping[int, int]) -> set[int]:
        """Return which of the files, by number, there is no room for.

        Raises:
            OSError: the folder cannot be read.
        """
        is_old = time.monotonic() > self._measured_at + _OTHERS_SECONDS
        is_full = sum(sizes_bytes.values()) > self._left_bytes
        if (is_full or is_old) and self._changed_ns() != self._measured_ns:
            self._measure()
        left_bytes, refused = self._left_bytes, set()
        for index, size_bytes in sizes_bytes.items():
            if size_bytes > left_bytes:
                refused.add(index)
            else:
                left_bytes -= size_bytes
        return refused

    def fill(self, size_bytes: int) -> None:
        """Note that so many bytes were added."""
        self._left_bytes -= size_bytes

    def _measure(self) -> None:
        self._measured_at = time.monotonic()
        changed_ns = self._changed_ns()  # first: what changes meanwhile is seen the next time
        # and so is what changes now, in the same tick of the file system's clock
        self._measured_ns = changed_ns if time.time_ns() - changed_ns > _TICK_NS else None
        taken_bytes = 0
        for path in self._directory.iterdir():
            with contextlib.suppress(FileNotFoundError):  # dropped or sent again meanwhile
                taken_bytes += path.stat().st_size
        self._left_bytes = self._max_bytes - taken_bytes

    def _changed_ns(self) -> int:
        return self._directory.stat().st_mtime_ns


def letter_name(batch_id: str, index: int) -> str:
    """Return the file name of the dead letter for event `index` of a batch."""
    return f"{batch_id}-{index:05d}{SUFFIX}"


def write_letter(event: bytes, cause: Cause, *, queue: str, batch_id: str, index: int, attempts: int) -> bytes:
    """Return the bytes of a dead letter."""
    document: dict[str, object] = {
        "died_at": _format_now(),
        "refused_at": None,  # by the last replay
        "queue": queue,
        "reason": cause.reason.value,
        "status": cause.status,
        "detail": cause.detail,
        "batch_id": batch_id,
        "index": index,
        "attempts": attempts,
    }
    try:
        document["event"] = event.decode()
    except UnicodeDecodeError:
        document["event_base64"] = base64.b64encode(event).decode()
    return _encode_letter(document)


def read_letter(data: bytes) -> dict[str, Any]:
    """Return a dead letter as it was written.

    Raises:
        ValueError: these are not the bytes of one; the message says why.
    """
    try:
        document = json.loads(data)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(document, dict) or not isinstance(document.get("died_at"), str):
        raise ValueError("it is no dead letter: died_at is missing")  # noqa: TRY004, json raises no other
    event_of(document)
    return document


def event_of(document: Mapping[str, Any]) -> bytes:
    """Return the event of a dead letter, as it came from the queue.

    Raises:
        ValueError: it holds none.
    """
    text, coded = document.get("event"), document.get("event_base64")
    if isinstance(text, str):
        return text.encode()
    if isinstance(coded, str):
        return base64.b64decode(coded, validate=True)
    raise ValueError("it is no dead letter: it holds no event")


def refused_again(document: Mapping[str, Any], cause: Cause) -> bytes:
    """Return the bytes of a dead letter that was sent again, and why it stays."""
    news = {
        "refused_at": _format_now(),
        "reason": cause.reason.value,
        "status": cause.status,
        "detail": cause.detail,
    }
    return _encode_letter({**document, **news, "attempts": int(document.get("attempts") or 0) + 1})


def _encode_letter(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, ensure_ascii=False, indent=1).encode(errors="surrogatepass") + b"\n"


def _format_now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
