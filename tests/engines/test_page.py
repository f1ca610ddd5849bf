"""The consumer of docs/stores.md drops what it has seen."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest
from engines.test_contract import batch
from support.engines import KafkaTopic
from support.paths import ROOT

from eventpub.collector.store import Outcome
from eventpub.collector.store.address import parse_store

confluent_kafka = pytest.importorskip("confluent_kafka", reason="pip install confluent-kafka")

from eventpub.collector.store.kafka import KafkaStore  # noqa: E402


def test_the_consumer_of_the_page_gets_each_event_once(kafka: KafkaTopic) -> None:
    store = KafkaStore(
        parse_store(f"kafka://{kafka.brokers}/{kafka.topic}"), timeout_seconds=5, max_event_bytes=1000
    )
    for made in (batch("a", "1", "2"), batch("a", "1", "2"), batch("b", "3"), batch("a", "1", "2")):
        assert store.add(made).outcome is Outcome.STORED
    store.close()
    (program,) = re.findall(
        r"^```python\n(.*?)^```$", (ROOT / "docs/stores.md").read_text(), re.MULTILINE | re.DOTALL
    )
    names: dict[str, Any] = {}
    exec(program.replace("localhost:9092", kafka.brokers).replace('["events"]', f'["{kafka.topic}"]'), names)
    consumer, found, left = names["consumer"], Counter[bytes](), 7
    for _ in range(300):
        for message in consumer.consume(10, timeout=0.2):
            left -= 1
            if (event := names["handle"](message, now=1000.0)) is not None:
                found[event] += 1
        if not left:
            break
    consumer.close()
    assert found == {b'{"n":"1"}': 1, b'{"n":"2"}': 1, b'{"n":"3"}': 1}
