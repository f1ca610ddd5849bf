"""What `put` counts and sends: `eventpub/queue/metrics.py`."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest
import statsd
from support.forked import in_child

from eventpub.errors import EventQueueFullError, EventSerializationError, EventTooLargeError
from eventpub.queue.event_queue import EventQueue
from eventpub.queue.metrics import QueueMetrics


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.bind(("127.0.0.1", 0))
        opened.settimeout(10)
        yield opened


@pytest.fixture
def count(server: socket.socket) -> Iterator[Callable[[str, int], object]]:
    client = statsd.StatsClient(*server.getsockname(), prefix="shop")
    yield client.incr
    client.close()


def serialize(event: object) -> bytes:
    if event is None:
        raise ValueError("nothing to put")
    return bytes(event)


def open_queue(name: str, metrics: Callable[[str, int], object] | None = None) -> EventQueue[object]:
    return EventQueue(name, serialize, max_messages=5, max_message_size=128, metrics=metrics)


def received(server: socket.socket, count: int) -> list[str]:
    return sorted(server.recv(1000).decode() for _ in range(count))


def test_each_outcome_of_put_reaches_statsd_under_its_name(queue_name, server, count):
    with open_queue(queue_name, count) as events:
        for _ in range(5):
            events.put(b"{}")
        for _ in range(2):
            with pytest.raises(EventQueueFullError):
                events.put(b"{}")
        with pytest.raises(EventTooLargeError):
            events.put(bytes(129))
        for _ in range(3):
            with pytest.raises(EventSerializationError):
                events.put(None)
    assert received(server, 4) == [
        "shop.put.accepted:5|c",
        "shop.put.full:2|c",
        "shop.put.too_large:1|c",
        "shop.put.unserializable:3|c",
    ]


def test_put_sends_its_counts_every_ten_seconds_and_each_once(queue_name):
    sent: list[tuple[str, int]] = []
    times = [100.0]
    with open_queue(queue_name) as events:
        events._metrics = QueueMetrics(
            lambda name, number: sent.append((name, number)), lambda: events.counts, lambda: times[-1]
        )
        for _ in range(5):
            events.put(b"{}")
        for time in (105.0, 109.9, 110.0, 119.9):
            times.append(time)
            with pytest.raises(EventQueueFullError):
                events.put(b"{}")
        assert sent == [("put.accepted", 5), ("put.full", 2)]
    assert sent[2:] == [("put.full", 2)]


def test_client_that_raises_disturbs_no_put_and_gets_the_counts_later(queue_name, caplog):
    sent = []

    def refuse_once(name: str, number: int) -> None:
        if not sent:
            sent.append("refused")
            raise OSError("no statsd")
        sent.append((name, number))

    events = open_queue(queue_name, refuse_once)
    events.put(b"{}")
    events._metrics.send(now=True)
    events.put(b"{}")
    events.close()
    assert sent == ["refused", ("put.accepted", 2)]
    assert "OSError: no statsd" in caplog.text


def test_forked_child_sends_what_it_put_itself(queue_name, server, count):
    with open_queue(queue_name, count) as events:
        events.put(b"{}")

        def child() -> None:
            events.put(b"{}")
            events.put(b"{}")
            events.close()

        in_child(child)
    assert received(server, 2) == ["shop.put.accepted:1|c", "shop.put.accepted:2|c"]


def test_without_a_client_nothing_is_kept(queue_name):
    with open_queue(queue_name) as events:
        assert events._metrics is None


def test_values_that_were_replaced_are_counted_once_for_the_process(queue_name: str):
    told: list[tuple[str, int]] = []
    metrics = [lambda name, number: told.append((name, number))] * 2
    with EventQueue(queue_name, max_messages=5, max_message_size=256, metrics=metrics[0]) as events:
        with EventQueue(queue_name, metrics=metrics[1]):
            events.put({"a": object(), "b": float("nan")})
        events.put({"a": object()})
    assert [number for name, number in told if name == "values.replaced"] == [2, 1]
