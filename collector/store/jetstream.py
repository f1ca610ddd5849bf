"""Events in a stream of NATS JetStream (2.14 or later): one atomic batch a batch, on any number of servers.

The first message of a batch is its manifest, on `STREAM._b.HASH` of key and batch id, which must be the first
there: so the batch and its id are stored as a whole, or neither is. The events follow on `STREAM.SOURCE`, in
their order, one message each, with the headers `Eventpub-Key`, `Eventpub-Batch`,
`Eventpub-Version` and `Eventpub-Index`.

| what the server says                             | outcome                                        |
|--------------------------------------------------|------------------------------------------------|
| acknowledged, as many messages as were sent      | STORED                                         |
| 10071: there is a manifest                       | DUPLICATE, KEY_REUSED, TAKEN_APART, as it says |
| 10158, 10164: the same batch is on its way       | UNAVAILABLE: its sender asks again             |
| 10199: more messages than a batch may have       | TOO_MANY, with the number that it may have     |
| anything else, or nothing in time                | UNAVAILABLE                                    |

A part that is stored leaves a manifest without a digest for each of its parents, so that these are not stored
if they arrive late. Manifests are forgotten after `dedupe.memory`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
from typing import TYPE_CHECKING, Any

import nats
import nats.errors
from nats.aio.client import Client

from eventpub.errors import ConfigError, NotYetError

from . import Health, Outcome, Receipt
from .messages import make_messages, manifest_subject
from .nats_options import connect_options

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from nats.aio.msg import Msg

    from . import IncomingBatch
    from .address import StoreAddress

_BATCH_MESSAGES = 1_000_000  # of an atomic batch, until a server says how many it takes
_PROBE_BYTES = 64 * 1024
_WRONG_SEQUENCE = 10071  # the subject has a message already
_TOO_MANY = 10199
_NO_STREAM = 10059
_NO_MESSAGE = 10037
_PATIENCE = (nats.errors.Error, asyncio.TimeoutError, OSError)


class JetStreamStore:
    """A `Store` in a stream, which is made if it is not there. One caller at a time.

    Args:
        address: the servers and the stream.
        replicas: of a stream that is made, 1 to 5.
        max_bytes: of a stream that is made; a full one refuses events.
        timeout_seconds: how long the servers may take for each answer.
        dedupe_memory_seconds: how long batch ids are remembered.
        keep_seconds: how long events are kept in a stream that is made; 0 keeps them for ever.
        credentials: a file as `nsc` and `nats` write it; None connects without.

    Raises:
        ConfigError: the stream cannot keep the contract.
        NotYetError: no server answers yet.
    """

    def __init__(
        self,
        address: StoreAddress,
        *,
        replicas: int,
        max_bytes: int,
        timeout_seconds: float,
        dedupe_memory_seconds: float,
        keep_seconds: float = 0.0,
        credentials: Path | None = None,
    ) -> None:
        self._address = address
        self._stream = address.name
        self._timeout_seconds = timeout_seconds
        self._memory_seconds = int(dedupe_memory_seconds)
        self._max_messages = _BATCH_MESSAGES
        self._failed = False  # whether the last batch could not be stored
        self._keep_seconds = keep_seconds
        self._loop = asyncio.new_event_loop()
        self._client = Client()
        try:
            self._run(self._connect(credentials))
            self._run(self._open_stream(replicas, max_bytes))
        except _PATIENCE as error:
            self.close()
            reason = f"no server answers yet: {_say(error)}"
            raise NotYetError("collector", "store", str(address), reason) from error
        except BaseException:
            self.close()
            raise

    def add(self, batch: IncomingBatch) -> Receipt:
        """Store a batch, or find that it was stored before."""
        try:
            receipt: Receipt = self._run(self._add(batch))
        except _PATIENCE as error:
            receipt = _refuse(error)
        self._failed = receipt.outcome is Outcome.UNAVAILABLE
        return receipt

    def seen(self, batch: IncomingBatch) -> Receipt | None:
        """Return DUPLICATE for a batch that was stored before, whole or with a parent; None for any other."""
        try:
            receipt: Receipt | None = self._run(self._seen(batch))
        except _PATIENCE as error:
            return _refuse(error)
        return receipt

    def health(self) -> Health:
        """Say whether batches can be stored; the number of events includes manifests.

        The stream is only asked, unless the last batch failed: then a message is tried that lives for a second.
        """
        try:
            info = self._run(self._ask(f"STREAM.INFO.{self._stream}"))
            refused = self._run(self._try_to_write()) if self._failed else ""
        except _PATIENCE as error:
            return Health(writable=False, reason=_say(error))
        if "error" in info or refused:
            return Health(writable=False, reason=refused or info["error"]["description"])
        self._failed = False
        return Health(writable=True, events_stored=info["state"]["last_seq"])

    def tend(self) -> None:
        """Answer the servers' pings, and connect again where that is due."""
        with contextlib.suppress(*_PATIENCE):
            self._run(asyncio.sleep(0.001))

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(*_PATIENCE):
            self._run(self._client.close())
        self._loop.close()

    # --- in the loop

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(coroutine)

    async def _connect(self, credentials: Path | None) -> None:
        connecting = self._client.connect(
            **connect_options(self._address, credentials),
            allow_reconnect=True,
            max_reconnect_attempts=-1,  # which holds for the first connection, too
            reconnect_time_wait=0.25,
            pending_size=64 * 1024**2,  # of a batch that waits for a connection
        )
        await asyncio.wait_for(connecting, self._timeout_seconds)

    async def _open_stream(self, replicas: int, max_bytes: int) -> None:
        info = await self._ask(f"STREAM.INFO.{self._stream}")
        if info.get("error", {}).get("err_code") == _NO_STREAM:
            wanted = {
                "name": self._stream,
                "subjects": [f"{self._stream}.>"],
                "storage": "file",
                "retention": "limits",
                "discard": "new",  # a full stream says so, and loses nothing
                "max_bytes": max_bytes,
                "max_age": int(self._keep_seconds * 1e9),
                "num_replicas": replicas,
                "allow_atomic": True,
                "allow_msg_ttl": True,
            }
            info = await self._ask(f"STREAM.CREATE.{self._stream}", wanted)
        if "error" in info:
            self._refuse(f"the stream cannot be made: {info['error']['description']}")
        config = info["config"]
        missing = [f"{key} = true" for key in ("allow_atomic", "allow_msg_ttl") if not config.get(key)]
        if missing:
            self._refuse(f"the stream needs {' and '.join(missing)}; nats-server 2.14 or later has both")
        if config.get("discard") != "new" or config.get("retention") != "limits":
            self._refuse(
                "the stream needs discard = new and retention = limits, or events vanish when it is full"
            )
        if f"{self._stream}.>" not in config.get("subjects", []):
            self._refuse(f"the stream needs the subject {self._stream}.>")

    def _refuse(self, reason: str) -> None:
        raise ConfigError("collector", "store", str(self._address), reason)

    async def _ask(self, what: str, request: object = None) -> dict[str, Any]:
        data = b"" if request is None else json.dumps(request).encode()
        answer = await self._client.request(f"$JS.API.{what}", data, timeout=self._timeout_seconds)
        answered: dict[str, Any] = json.loads(answer.data)
        return answered

    async def _try_to_write(self) -> str:
        """Store a message for a second; return why that is not possible, or an empty text."""
        subject, headers = f"{self._stream}._b.probe", {"Nats-TTL": "1s"}
        size = b"." * _PROBE_BYTES  # about what a small batch takes, since a full stream has room for less
        answer = await self._client.request(subject, size, headers=headers, timeout=self._timeout_seconds)
        return str(json.loads(answer.data).get("error", {}).get("description", ""))

    async def _seen(self, batch: IncomingBatch) -> Receipt | None:
        for parent in batch.parents:
            manifest = await self._read_manifest(batch.key_name, parent)
            if manifest and manifest["digest"]:
                return Receipt(Outcome.DUPLICATE)
        manifest = await self._read_manifest(batch.key_name, batch.batch_id)
        if manifest is None or not manifest["digest"]:
            return None
        is_same = batch.digest is None or manifest["digest"] == batch.digest.hex()
        return Receipt(Outcome.DUPLICATE) if is_same else None

    async def _add(self, batch: IncomingBatch) -> Receipt:
        orphans = []  # parents that are not marked yet
        for parent in batch.parents if batch.deduplicate else ():
            manifest = await self._read_manifest(batch.key_name, parent)
            if manifest is None:
                orphans.append(parent)
            elif manifest["digest"]:
                return Receipt(Outcome.DUPLICATE)
        number = 1 + len(orphans) + len(batch.events)
        if number > self._max_messages:
            return Receipt(Outcome.TOO_MANY, limit_events=self._max_messages - 1 - len(orphans))
        return await self._judge(batch, number, await self._publish(batch, orphans))

    async def _judge(self, batch: IncomingBatch, number: int, answer: dict[str, Any]) -> Receipt:
        """Say what an answer means, see the table of this module; `number` is how many messages were sent."""
        if "error" not in answer:
            if answer.get("count", 1) != number:
                reason = "the server does not store batches as a whole"
                return Receipt(Outcome.UNAVAILABLE, reason, code="not_atomic")
            return Receipt(Outcome.STORED)
        code, reason = answer["error"].get("err_code"), answer["error"].get("description", "")
        if code == _WRONG_SEQUENCE:
            return await self._find_known(batch)
        if code == _TOO_MANY:
            self._max_messages = _read_limit(reason) or self._max_messages // 2
            return Receipt(Outcome.TOO_MANY, limit_events=self._max_messages - 1)
        return Receipt(Outcome.UNAVAILABLE, f"{code}: {reason}", code=str(code))

    async def _publish(self, batch: IncomingBatch, orphans: list[str]) -> dict[str, Any]:
        """Send an atomic batch; return what the server says to its last message."""
        attempt = os.urandom(12).hex()
        messages = make_messages(self._stream, batch, orphans, self._memory_seconds)
        last = len(messages)
        for place, (subject, payload, headers) in enumerate(messages, 1):
            headers |= {"Nats-Batch-Id": attempt, "Nats-Batch-Sequence": str(place)}
            if place < last:
                await self._client.publish(subject, payload, headers=headers)
        headers["Nats-Batch-Commit"] = "1"
        answer: Msg = await self._client.request(
            subject, payload, headers=headers, timeout=self._timeout_seconds
        )
        answered: dict[str, Any] = json.loads(answer.data)
        return answered

    async def _read_manifest(self, key_name: str, batch_id: str) -> dict[str, Any] | None:
        """Return the manifest of a batch, as the stream's leader has it."""
        subject = manifest_subject(self._stream, key_name, batch_id)
        answer = await self._ask(f"STREAM.MSG.GET.{self._stream}", {"last_by_subj": subject})
        if "error" in answer:
            if answer["error"].get("err_code") == _NO_MESSAGE:
                return None
            raise nats.errors.Error(answer["error"].get("description", "the stream does not answer"))
        manifest: dict[str, Any] = json.loads(base64.b64decode(answer["message"]["data"]))
        return manifest

    async def _find_known(self, batch: IncomingBatch) -> Receipt:
        """Say what is known of a batch that has a manifest, or one of whose parents got one meanwhile."""
        manifest = await self._read_manifest(batch.key_name, batch.batch_id)
        if manifest is None:
            reason = "another part of the same batch is being stored"
            return Receipt(Outcome.UNAVAILABLE, reason, code=str(_WRONG_SEQUENCE))
        if not manifest["digest"]:
            return Receipt(Outcome.TAKEN_APART)
        is_same = batch.digest is None or manifest["digest"] == batch.digest.hex()
        return Receipt(Outcome.DUPLICATE if is_same else Outcome.KEY_REUSED)


def _read_limit(reason: str) -> int | None:
    numbers = re.findall(r"\d+", reason)
    return int(numbers[-1]) if numbers else None


def _refuse(error: BaseException) -> Receipt:
    """Return what became of a batch, where the client has no answer with a code: with the kind of its error."""
    return Receipt(Outcome.UNAVAILABLE, _say(error), code=type(error).__name__)


def _say(error: BaseException) -> str:
    return str(error) or type(error).__name__
