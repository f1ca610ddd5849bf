"""Events in a topic of Kafka: one message each, at least once, with an id that repeats carry too.

A batch is acknowledged once the broker has confirmed each of its events (`acks=all`, idempotent producer).
Kafka keeps no batch ids: a batch that is sent again, or of which only a part was confirmed, is in the topic
again. Every message therefore carries `eventpub-id`, KEY/BATCH:INDEX, the same in every attempt, and consumers
drop what they have seen; docs/stores.md has one that does. The other headers are those of a CloudEvent.

What librdkafka reports as fatal ends the producer; the next batch is sent by a new one.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException, Producer

from eventpub.errors import NotYetError

from . import Health, Outcome, Receipt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from . import EventRow, IncomingBatch
    from .address import StoreAddress

_OPTIONS = "KAFKA_"  # variables of the environment that are librdkafka's options: KAFKA_SASL_PASSWORD


class KafkaStore:
    """A `Store` in a topic. One caller at a time.

    Args:
        address: the brokers and the topic.
        timeout_seconds: how long the brokers may take to confirm a batch.
        max_event_bytes: the largest event, which the brokers must take, too.

    Raises:
        NotYetError: no broker answers yet.
    """

    def __init__(self, address: StoreAddress, *, timeout_seconds: float, max_event_bytes: int) -> None:
        self._topic = address.name
        self._timeout_seconds = timeout_seconds
        self._stored = 0
        self._options: dict[str, Any] = {
            **read_options(os.environ),
            "bootstrap.servers": address.where,
            "client.id": "eventpub-collector",
            "acks": "all",
            "enable.idempotence": True,
            "message.timeout.ms": int(timeout_seconds * 1000),
            "message.max.bytes": max_event_bytes + 16 * 1024,  # and its headers
            "linger.ms": 2,
        }
        self._producer = Producer(self._options, logger=None)
        try:
            self._producer.list_topics(self._topic, timeout=timeout_seconds)
        except KafkaException as error:
            del self._producer  # its threads would go on connecting as long as the error is kept
            reason = f"no broker answers yet: {error.args[0].str()}"
            raise NotYetError("collector", "store", str(address), reason) from error

    def add(self, batch: IncomingBatch) -> Receipt:
        """Send a batch, and wait until each of its events is confirmed."""
        failures: list[KafkaError] = []

        def on_delivery(error: Any, _message: object) -> None:
            if error is not None:
                failures.append(error)

        make_headers = _header_maker(batch)
        produce, topic = self._producer.produce, self._topic
        try:
            for index, event in enumerate(batch.events):
                key = event.user_id or event.uuid or batch.batch_id
                produce(topic, event.event, key, headers=make_headers(index, event), on_delivery=on_delivery)
        except BufferError:
            failures.append(KafkaError(KafkaError._QUEUE_FULL, "the queue to the brokers is full"))  # noqa: SLF001, its name
        except KafkaException as error:
            failures.append(error.args[0])
        left = self._producer.flush(self._timeout_seconds)
        if left:
            self._producer.purge()
            self._producer.flush(0)
            failures.append(KafkaError(KafkaError._TIMED_OUT, f"{left} events were not confirmed in time"))  # noqa: SLF001
        if failures:
            self._renew_if_fatal(failures)
            return Receipt(Outcome.UNAVAILABLE, failures[0].str(), code=failures[0].name())
        self._stored += len(batch.events)
        return Receipt(Outcome.STORED)

    def seen(self, batch: IncomingBatch) -> Receipt | None:  # noqa: ARG002
        """Return None: a topic keeps no batch ids."""
        return None

    def health(self) -> Health:
        """Say whether a broker answers; the number of events is that of this process."""
        try:
            self._producer.list_topics(self._topic, timeout=self._timeout_seconds)
        except KafkaException as error:
            return Health(writable=False, events_stored=self._stored, reason=error.args[0].str())
        return Health(writable=True, events_stored=self._stored)

    def tend(self) -> None:
        """Serve what librdkafka calls back."""
        self._producer.poll(0)

    def close(self) -> None:
        """Let go of the brokers; nothing is under way between two calls."""
        self._producer.flush(0)

    def _renew_if_fatal(self, failures: list[KafkaError]) -> None:
        if any(error.fatal() or error.name() == "_FATAL" for error in failures):
            self._producer = Producer(self._options, logger=None)


def read_options(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the options of librdkafka that variables name: KAFKA_SASL_PASSWORD is `sasl.password`."""
    return {
        name.removeprefix(_OPTIONS).lower().replace("_", "."): value
        for name, value in environment.items()
        if name.startswith(_OPTIONS)
    }


def _header_maker(batch: IncomingBatch) -> Callable[[int, EventRow], list[tuple[str, str]]]:
    """Return what makes the headers of one event: CloudEvents 1.0.2, Kafka protocol binding, binary mode."""
    prefix = f"{batch.key_name}/{batch.batch_id}:"
    common = [
        ("ce_specversion", "1.0"),
        ("ce_source", f"eventpub/{batch.key_name}"),
        ("ce_time", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(batch.received_at))),
        ("content-type", "application/json"),
    ]

    def make_headers(index: int, event: EventRow) -> list[tuple[str, str]]:
        event_id = f"{prefix}{index}"
        kind = ".".join(filter(None, (event.source, event.noun, event.action))) or event.name or "event"
        return [("eventpub-id", event_id), ("ce_id", event_id), ("ce_type", kind), *common]

    return make_headers
