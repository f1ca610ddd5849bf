r"""What both ends of the wire agree on: containers, headers, the signature, batch ids.

A batch travels as `POST {scheme}://{hostname}/v{version}` whose body is a container around events that are
already serialized; nothing in it is encoded twice. The formats are those of reddit/baseplate.py's event
publisher:

| version | body                                                                                    |
|---------|-----------------------------------------------------------------------------------------|
| `2`     | `{"1":{"lst":["rec",N,EVENT,…]}}`, Thrift JSON of a struct whose field 1 lists N structs |
| `2j`    | `[EVENT,…]`, a plain JSON array                                                         |

`X-Signature: key=NAME, mac=HEX` carries the HMAC-SHA256 of the uncompressed body.

`Idempotency-Key` is the batch's id: a batch that is sent again has the same id. A batch that is refused, or
never gets through, is split by its sender. Each part has an id of its own, and names in `X-Parent-Batch` the
batch that it is a part of, then that batch's parent, and so on. A collector that has stored any of these has
all events of the part. After the first part, its parents are not sent again, but an earlier attempt may still
be on its way: a parent that arrives late must not be stored.

This module owns the formats and keeps them pure: no I/O, no clock, no configuration.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_EVENT_SIZE = 100 * 1024  # bytes of one serialized event; baseplate's lib/events.py has the same number
MAX_QUEUE_SIZE = 10_000  # messages; likewise
QUEUE_PREFIX = "/events-"  # a queue called NAME is the POSIX queue /events-NAME

VERSIONS = ("2", "2j")

SIGNATURE_HEADER = "X-Signature"
IDEMPOTENCY_HEADER = "Idempotency-Key"  # the batch id, the same on every attempt
ATTEMPT_HEADER = "X-Attempt"  # 1 for the first attempt of a batch in this process
PARENT_HEADER = (
    "X-Parent-Batch"  # ids of the batches that this one is a part of, nearest first, comma-separated
)
COUNT_HEADER = "X-Event-Count"  # how many events the sender put in the container

# why eventpub's collector refuses a body without naming events: it cannot tell one from the other
EVENT_ERRORS = frozenset({"bad_body", "event_count_differs"})
# why eventpub's collector says 400 though the events may be good: the request was spoilt on its way
TRANSPORT_ERRORS = frozenset(
    {
        "bad_encoding", "bad_framing", "bad_head", "bad_header", "bad_idempotency_key", "bad_length",
        "bad_parent_batch", "bad_request_line",
    }
)  # fmt: skip

PAGE_START_BYTES = 1024  # of a body, to tell a web page by; pages may begin with blank lines

_PREFIX = {"2": b'{"1":{"lst":["rec",%d,', "2j": b"["}
_SUFFIX = {"2": b"]}}", "2j": b"]"}
_PAGE_TAG = re.compile(
    rb"<(?:head|title|body|form|center)\b|.*<(?:!doctype\s+html|html|meta|script|iframe)\b",
    re.IGNORECASE | re.DOTALL,
)  # those of the first kind are a page's only at its beginning: XML may have them, too
_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_SIGNATURE = re.compile(r"\s*key=([^,\s]+)\s*,\s*mac=([0-9a-fA-F]{64})\s*")

CONTAINER_OVERHEAD = 32  # bytes: no container adds more to its events and their commas


def container(version: str, events: Sequence[bytes]) -> bytes:
    """Wrap serialized `events` (at least one) as the body of a `version` request."""
    return wrap(version, b",".join(events), len(events))


def wrap(version: str, joined_events: bytes | memoryview, count: int) -> bytes:
    """Wrap `count` serialized events, already joined by commas, as the body of a `version` request."""
    prefix = _PREFIX[version]
    return b"".join((prefix % count if b"%" in prefix else prefix, joined_events, _SUFFIX[version]))


def unwrap(version: str, document: object) -> list[object]:
    """Return the events of a decoded container.

    Args:
        version: one of `VERSIONS`.
        document: the request's body, decoded as JSON.

    Raises:
        ValueError: `document` is not a container of that version; the message says where it differs.
    """
    if version == "2j":
        if not isinstance(document, list):
            raise ValueError("the body is not a JSON array of events")
        return document
    events: list[object]
    try:
        kind, count, *events = document["1"]["lst"]  # type: ignore[index]
    except (TypeError, KeyError, ValueError):
        raise ValueError('the body is not {"1":{"lst":["rec",N,EVENT,…]}}') from None
    if kind != "rec" or count != len(events):
        raise ValueError(f"the container announces {count!r} of type {kind!r} and holds {len(events)} events")
    return events


def mac(secret: bytes, body: bytes) -> str:
    """Return the hexadecimal HMAC-SHA256 of an uncompressed `body`.

    >>> mac(b"hunter2", b'[{"example": "value"}]')
    '7c46d56b99cd4cb05e08238c1d4c10a2f330795e9d7327f17cc66fd206bf1179'
    """
    return hmac.digest(secret, body, hashlib.sha256).hex()


def signature(key_name: str, secret: bytes, body: bytes) -> str:
    """Return the value of `X-Signature` for an uncompressed `body`."""
    return f"key={key_name}, mac={mac(secret, body)}"


def parse_signature(value: str) -> tuple[str, str] | None:
    """Return the key's name and the mac (lower case) of an `X-Signature`; None if it is malformed."""
    match = _SIGNATURE.fullmatch(value)
    return (match[1], match[2].lower()) if match else None


def is_page(content_type: str, body: bytes) -> bool:
    """Return whether an answer is a web page, which never counts as acceptance.

    A page is what captive portals and lost proxies answer everything with. A collector writes none by accident:
    each request says, in `Accept`, that it takes JSON or plain text. Even in the type text/html, which is some
    frameworks' default, a body is a page only where it begins with a tag; in any other, the tag of a page must
    be near its beginning, as behind a comment or an XML declaration.

    Args:
        content_type: the answer's; empty where it has none.
        body: the answer's, or its first `PAGE_START_BYTES`.
    """
    beginning = body[:PAGE_START_BYTES]
    for mark in _BYTE_ORDER_MARKS:
        beginning = beginning.removeprefix(mark)
    beginning = beginning.replace(b"\0", b"").lstrip()  # of UTF-16
    return beginning.startswith(b"<") and ("html" in content_type.lower() or bool(_PAGE_TAG.match(beginning)))


def join_ids(batch_ids: Iterable[str]) -> str:
    """Return the value of `X-Parent-Batch`."""
    return ", ".join(batch_ids)


def split_ids(value: str) -> tuple[str, ...]:
    """Return the batch ids of an `X-Parent-Batch`."""
    return tuple(word for word in re.split(r"[\s,]+", value) if word)


def new_batch_id() -> str:
    """Return a new batch id: 32 hexadecimal digits."""
    return os.urandom(16).hex()  # Python 3.10 loads subprocess with uuid


def part_batch_id(parent_id: str, indices: Iterable[int]) -> str:
    """Return the id of the part of batch `parent_id` that holds the events at `indices`.

    The same part of the same batch gets the same id in every process, so the collector recognises a part that
    is sent again after a crash.
    """
    part = f"{parent_id}:{','.join(map(str, indices))}"
    return hashlib.sha256(part.encode()).hexdigest()[:32]
