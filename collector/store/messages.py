"""A batch as messages of a stream of JetStream: its manifest, those of its parents, and its events."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from . import IncomingBatch

_NOT_A_TOKEN = re.compile(r"[^A-Za-z0-9_-]")
_TOKEN_CHARACTERS = 64  # of a source in a subject
_DIGEST_CHARACTERS = 32


class Message(NamedTuple):
    """One message, without what makes it part of an atomic batch."""

    subject: str
    payload: bytes
    headers: dict[str, str]


def make_messages(
    stream: str, batch: IncomingBatch, parents: Sequence[str], memory_seconds: int
) -> list[Message]:
    """Return the messages of a batch, manifests first.

    Args:
        stream: the stream's name, with which all subjects begin.
        batch: the batch.
        parents: those of its parents that have no manifest yet.
        memory_seconds: how long manifests are kept.
    """
    messages = [_make_manifest(stream, batch, batch.batch_id, batch.digest, memory_seconds)]
    messages += [_make_manifest(stream, batch, parent, None, memory_seconds) for parent in parents]
    common = {
        "Eventpub-Key": batch.key_name,
        "Eventpub-Batch": batch.batch_id,
        "Eventpub-Version": batch.version,
    }
    for index, event in enumerate(batch.events):
        source = _NOT_A_TOKEN.sub("_", event.source or "-")[:_TOKEN_CHARACTERS]
        headers = {**common, "Eventpub-Index": str(index)}
        messages.append(Message(f"{stream}.{source}", event.event.encode(), headers))
    return messages


def manifest_subject(stream: str, key_name: str, batch_id: str) -> str:
    """Return the subject of a batch's manifest; ids have characters that a subject has not."""
    name = hashlib.sha256(f"{key_name}\0{batch_id}".encode()).hexdigest()[:_DIGEST_CHARACTERS]
    return f"{stream}._b.{name}"


def _make_manifest(
    stream: str, batch: IncomingBatch, batch_id: str, digest: bytes | None, memory_seconds: int
) -> Message:
    content = {
        "key": batch.key_name,
        "batch": batch_id,
        "digest": digest.hex() if digest else "",
        "events": len(batch.events) if digest else 0,
        "version": batch.version,
        "received_at": batch.received_at,
    }
    headers = {"Nats-TTL": f"{memory_seconds}s"}
    if batch.deduplicate:
        headers["Nats-Expected-Last-Subject-Sequence"] = (
            "0"  # the first of this subject, or the whole batch fails
        )
    return Message(manifest_subject(stream, batch.key_name, batch_id), json.dumps(content).encode(), headers)
