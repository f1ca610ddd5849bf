"""The result of an attempt, and what it means for the batch.

| answer              | verdict       | what happens to the batch                            |
|---------------------|---------------|------------------------------------------------------|
| 2xx                 | ACCEPTED      | removed                                              |
| 400, 422            | BISECT        | split until the bad events stand alone               |
| 413, our 409        | HALVE         | split and sent again                                 |
| 401, 403            | HOLD          | kept until the key works                             |
| our 401 of a date   | MISTIMED      | kept until the clocks agree                          |
| 415                 | RECODE        | sent again in another `Content-Encoding`             |
| 408, 429, 5xx, none | RETRY         | kept                                                 |
| anything else       | MISCONFIGURED | kept: this is not a collector's answer               |

A 2xx with a web page in it is "anything else" too, and so is one that does not name the batch where
`collector.require_receipt` wants that. Any other body will do, since baseplate's publisher asks
for none, but taking a lost proxy's page for acceptance would lose events (`wire.is_page`).

A 400 or 422 that is a web page, or that says that the request was spoilt on its way
(`wire.TRANSPORT_ERRORS`), is "anything else" as well: it says nothing about the events. What a refusal means
for them depends on what else is accepted (`proof`). Only one in the form of our collector, which names the
bad events, is proof by itself.

Whatever the other end writes, nothing here raises, no text is longer than `MAX_REASON_CHARACTERS` or holds
control characters, and no batch waits for longer than `MAX_RETRY_AFTER_SECONDS`.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
import zlib
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple

from eventpub import wire
from eventpub.sidecar.telemetry.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_REASON_CHARACTERS = 500
MAX_RETRY_AFTER_SECONDS = 300.0  # a mistaken header must not park the sidecar for days

_MAX_UNPACKED_BYTES = 64 * 1024
_ANY_HEADER = 32  # zlib's: that of gzip or of zlib
_DEFLATED = frozenset({"gzip", "x-gzip", "deflate"})
_OPAQUE = frozenset({"br", "zstd", "compress", "x-compress"})
_ZERO_WEIGHT = re.compile(r"\s*q\s*=\s*0(\.0*)?\s*")


_VERDICTS = {
    400: Verdict.BISECT,
    401: Verdict.HOLD,
    403: Verdict.HOLD,
    408: Verdict.RETRY,
    413: Verdict.HALVE,
    415: Verdict.RECODE,
    422: Verdict.BISECT,
    429: Verdict.RETRY,
}
_VERDICTS_BY_CLASS = {2: Verdict.ACCEPTED, 5: Verdict.RETRY}


class Rejection(NamedTuple):
    """One event that the collector names as bad; whether the batch has so many is not checked yet."""

    event_index: int
    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of one attempt.

    Attributes:
        status: the HTTP status; None without an answer.
        kind: `http`, or why there is no answer: a short fixed word, part of a metric's name.
        reason: the words of eventpub's collector, or the beginning of the answer's body, or what went wrong.
        retry_after_seconds: how long the collector asks to wait; None if it does not say.
        codings: what the answer's `Accept-Encoding` (RFC 7694) offers to take, lower case; empty where it says
            nothing, or that anything goes.
        rejected: the bad events that the body of a 422 names.
        is_page: whether its body is a web page.
        batch_id: the batch that its JSON names, as eventpub's collector does; empty where it names none.
        error: the code of a refusal (`"error"` of its JSON), as eventpub's collector gives one; else empty.
        location: where a redirect points; empty for any other answer.
        is_sent: whether the other end may have got anything of the batch; False only where that is certain.
        lacks_receipt: whether it had to name the batch, and does not.
        date: its `Date`, as it came; empty where it has none.
    """

    status: int | None
    kind: str
    reason: str = ""
    retry_after_seconds: float | None = None
    codings: frozenset[str] = frozenset()
    rejected: tuple[Rejection, ...] = ()
    is_page: bool = False
    batch_id: str = ""
    error: str = ""
    location: str = ""
    is_sent: bool = True
    lacks_receipt: bool = False
    date: str = ""

    @classmethod
    def none(cls, kind: str, reason: str, *, is_sent: bool = True) -> Answer:
        """Return the outcome of an attempt that got no answer."""
        return cls(None, kind, _clean_text(reason), is_sent=is_sent)

    @property
    def is_judgement(self) -> bool:
        """Tell whether it names the bad events as eventpub's collector does, which has read all of them."""
        return self.status == 422 and self.error == "invalid_events" and bool(self.rejected)  # noqa: PLR2004

    @property
    def is_judgement_of_one(self) -> bool:
        """Tell whether eventpub's collector has read this very batch, and refuses its only event."""
        return bool(self.batch_id) and self.error in wire.EVENT_ERRORS

    @property
    def is_taken_apart(self) -> bool:
        """Tell whether eventpub's collector has parts of the batch, and wants the others."""
        return self.status == 409 and self.error == "taken_apart"  # noqa: PLR2004

    @property
    def is_mistimed(self) -> bool:
        """Tell whether eventpub's collector refuses the request's date, and not its key."""
        return self.status == 401 and self.error == "date_out_of_window"  # noqa: PLR2004

    @property
    def account(self) -> str:
        """Return what the log says of it: the reason, and what else is amiss."""
        if self.lacks_receipt:
            return _clean_text(f"the answer does not name the batch (collector.require_receipt): {self.reason}")
        return _clean_text(f"Location: {self.location} {self.reason}") if self.location else self.reason

    @classmethod
    def of(cls, status: int, headers: Mapping[str, str], body: bytes, now: float | None = None) -> Answer:
        """Read an HTTP answer.

        Args:
            status: its status.
            headers: its headers, whose names may be in any case.
            body: its body, or the beginning of it.
            now: seconds since the epoch; default: the time of the call.
        """
        fields = {name.lower(): value for name, value in headers.items()}
        coding = fields.get("content-encoding", "").strip().lower()
        body, content_type = _unpack(coding, body), fields.get("content-type", "")
        document = _read_document(body)
        return cls(
            status,
            "http",
            _read_reason(document, body),
            _seconds_to(fields.get("retry-after", ""), time.time() if now is None else now),
            _read_codings(fields.get("accept-encoding", "")),
            _read_rejections(document) if status == 422 else (),  # noqa: PLR2004, the status of bad events
            wire.is_page(content_type, body) or (coding in _OPAQUE and "html" in content_type.lower()),
            _read_text(document, "batch_id"),
            _read_text(document, "error"),
            _clean_text(fields.get("location", "")) if status // 100 == 3 else "",  # noqa: PLR2004, redirects
            date=fields.get("date", ""),
        )


def judge_answer(answer: Answer) -> Verdict:
    """Return what becomes of the batch that got this answer."""
    if answer.status is None:
        return Verdict.RETRY
    by_class = _VERDICTS_BY_CLASS.get(answer.status // 100, Verdict.MISCONFIGURED)
    if by_class is Verdict.ACCEPTED and (answer.is_page or answer.lacks_receipt):
        return Verdict.MISCONFIGURED
    if answer.is_taken_apart:
        return Verdict.HALVE
    if answer.is_mistimed:
        return Verdict.MISTIMED
    verdict = _VERDICTS.get(answer.status, by_class)
    if verdict is Verdict.BISECT and (answer.is_page or answer.error in wire.TRANSPORT_ERRORS):
        return Verdict.MISCONFIGURED
    return verdict


def _unpack(coding: str, body: bytes) -> bytes:
    """Return the beginning of a body that was compressed though nobody asked for that, as portals do."""
    if coding not in _DEFLATED:
        return body
    with contextlib.suppress(zlib.error):
        return zlib.decompressobj(zlib.MAX_WBITS | _ANY_HEADER).decompress(body, _MAX_UNPACKED_BYTES)
    with contextlib.suppress(zlib.error):
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(body, _MAX_UNPACKED_BYTES)
    return body


def _seconds_to(retry_after: str, now: float) -> float | None:
    """Read a `Retry-After`, seconds or a date; None if it is neither."""
    text = retry_after.strip()
    if re.fullmatch("[0-9]{1,20}", text):
        seconds = float(text)
    else:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, TypeError, OverflowError, IndexError):  # what email.utils raises over garbage
            return None
    return min(max(0.0, seconds), MAX_RETRY_AFTER_SECONDS)


def _read_codings(accept_encoding: str) -> frozenset[str]:
    items = (item.partition(";") for item in accept_encoding.lower().split(","))
    codings = {coding.strip() for coding, _, weight in items if not _ZERO_WEIGHT.fullmatch(weight)} - {""}
    return frozenset() if "*" in codings else frozenset(codings)


def _read_document(body: bytes) -> Mapping[str, object]:
    """Read a body that is one JSON object; empty for any other."""
    if not body.lstrip().startswith(b"{"):
        return {}
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _read_reason(document: Mapping[str, object], body: bytes) -> str:
    """Return the words of a refusal by eventpub's collector; of any other answer the beginning of its body."""
    error, reason = _read_text(document, "error"), _read_text(document, "reason")
    if error and reason and "rejected" not in document:
        return _clean_text(f"{error}: {reason}")
    return _clean_text(body[: 4 * MAX_REASON_CHARACTERS].decode(errors="replace"))


def _read_text(document: Mapping[str, object], name: str) -> str:
    value = document.get(name)
    return _clean_text(value) if isinstance(value, str) else ""


def _read_rejections(document: Mapping[str, object]) -> tuple[Rejection, ...]:
    """Read `{"rejected":[{"index":3,"reason":"..."}]}`; malformed entries are left out."""
    entries = document.get("rejected")
    if not isinstance(entries, list):
        return ()
    return tuple(
        Rejection(entry["index"], _clean_text(str(entry.get("reason", ""))))
        for entry in entries
        if isinstance(entry, dict) and type(entry.get("index")) is int and entry["index"] >= 0
    )


def _clean_text(text: str) -> str:
    """Make text fit for one line of a log."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:MAX_REASON_CHARACTERS]
