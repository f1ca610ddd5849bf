"""`MemoryQueue` beside the queue it stands in for: what the one does the other does."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.waiting import wait_until

from eventpub import EventQueue, serialize_v2_event
from eventpub.errors import (
    EventError,
    EventQueueClosedError,
    EventQueueFullError,
    EventSerializationError,
    EventTooLargeError,
    QueueLimitError,
    QueueMissingError,
    QueueNameError,
    UnwritableValueError,
)
from eventpub.pipeline import Backend
from eventpub.queue.event_queue import Counts
from eventpub.queue.message_queue import remove_queue
from eventpub.schemas.event.ttypes import Event
from eventpub.serialization.unwritable import strict_values
from eventpub.testing import MemoryQueue, posix_queue, take_messages

Make = Callable[..., EventQueue[Any]]
BOTH = pytest.mark.parametrize("make", [MemoryQueue, EventQueue])
TEA = {"noun": "tea"}


@pytest.fixture
def memory() -> MemoryQueue[Any]:
    return MemoryQueue()


@pytest.fixture
def make_either(make: type[EventQueue[Any]], queue_name: str) -> Iterator[Make]:
    """What makes a queue of either kind, of two events of 128 bytes."""
    made = []

    def make_one(serializer: Any = None, **more: Any) -> EventQueue[Any]:
        made.append(make(queue_name, serializer, max_messages=2, max_message_size=128, **more))
        return made[-1]

    yield make_one
    for queue in made:
        queue.close()


# --- what was put ----------------------------------------------------------------------------------------


def test_what_was_put_is_there_as_event_as_message_and_as_a_reader_finds_it(memory: MemoryQueue[Any]):
    struct = Event(source="shop", action="buy", noun="tea")
    memory.put(TEA)
    memory.send(struct)
    assert memory.events == [TEA, struct]
    assert memory.messages == [b'{"noun":"tea"}', serialize_v2_event(struct)]
    assert memory.decoded == [TEA, struct]
    assert memory.decoded[1] is not struct
    assert [put.queue_name for put in memory.puts] == ["memory", "memory"]


def test_the_message_tells_what_was_put_even_if_the_event_changes_afterwards(memory: MemoryQueue[Any]):
    event = {"noun": "tea"}
    memory.put(event)
    event["noun"] = "coffee"
    assert memory.decoded == [TEA]
    assert memory.events[0] is event


def test_what_was_refused_is_not_there():
    memory: MemoryQueue[Any] = MemoryQueue(max_message_size=128, max_messages=1)
    for event in ({"noun": object()}, {"noun": "x" * 200}, TEA, {"noun": "coffee"}):
        try:
            memory.put(event)
        except EventError:
            continue
    assert memory.events == [TEA]


@pytest.mark.usefixtures("frequent_switches")
def test_each_thread_finds_its_own_events_beside_its_messages():
    memory: MemoryQueue[Any] = MemoryQueue()
    start = threading.Barrier(4)

    def produce(letter: str) -> None:
        start.wait()
        for number in range(200):
            memory.put({"number": number, "letter": letter})

    threads = [threading.Thread(target=produce, args=(letter,)) for letter in "ABCD"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(memory.events) == 800
    assert all(json.loads(put.message) == put.event for put in memory.puts)


def test_a_serializer_that_puts_events_itself_is_no_confusion():
    outer: MemoryQueue[Any]
    inner: MemoryQueue[Any] = MemoryQueue("inner")

    def serialize(event: Any) -> bytes:
        inner.put({"about": event})
        return json.dumps(event).encode()

    outer = MemoryQueue("outer", serialize)
    outer.put(TEA)
    assert (outer.events, inner.events) == ([TEA], [{"about": TEA}])


# --- the same as the real one ----------------------------------------------------------------------------


@BOTH
def test_both_are_backends_and_context_factories_and_close_themselves(make_either: Make):
    with make_either() as queue:
        assert isinstance(queue, Backend)
        assert queue.make_object_for_context("events", None) is queue
        assert queue("anything") is queue
    with pytest.raises(EventQueueClosedError):
        queue.put(TEA)
    queue.close()


@BOTH
def test_both_count_and_refuse_alike(make_either: Make):
    queue = make_either()
    with strict_values(), pytest.raises(UnwritableValueError) as unwritable:
        queue.put({"noun": {"kind": object}})
    with pytest.raises(EventTooLargeError) as too_large:
        queue.put({"noun": "x" * 200})
    queue.put({"noun": "x" * (128 - len('{"noun":""}'))})
    queue.put(TEA)
    with pytest.raises(EventQueueFullError):
        queue.put(TEA)
    assert (unwritable.value.field, too_large.value.limit_bytes) == ("noun.kind", 128)
    assert queue.counts == Counts(accepted=2, full=1, too_large=1, unserializable=1)


@BOTH
def test_both_insist_on_bytes_and_on_a_timeout_that_makes_sense(make_either: Make):
    queue = make_either(len)
    with pytest.raises(EventSerializationError, match="returned int, not bytes"):
        queue.put("text")
    with pytest.raises(ValueError, match="timeout is -1: give seconds"):
        queue.put(b"x", timeout=-1)


@BOTH
def test_both_send_their_counts_to_a_metrics_client(make_either: Make):
    counted: list[tuple[str, int]] = []
    queue = make_either(metrics=lambda name, number: counted.append((name, number)))
    queue.put(TEA)
    queue.close()
    assert counted == [("put.accepted", 1)]


@pytest.mark.parametrize("make", [MemoryQueue, EventQueue])
def test_both_take_the_same_names(make: type[EventQueue[Any]]):
    with pytest.raises(QueueNameError):
        make("../x")


@BOTH
@pytest.mark.parametrize(
    ("size", "error"),
    [
        ({"max_messages": -1}, QueueLimitError),
        ({"max_messages": 0}, QueueLimitError),
        ({"max_messages": 65_537}, QueueLimitError),
        ({"max_message_size": 0}, QueueLimitError),
        ({"max_messages": "3"}, TypeError),
    ],
)
def test_both_refuse_a_size_that_no_queue_can_have(
    make: type[EventQueue[Any]], size: Any, error: type[Exception], queue_name: str
):
    with pytest.raises(error, match=r"is impossible; use at least 1 of 1 byte|give a whole number"):
        make(queue_name, **size)


def test_without_limits_it_takes_what_any_queue_takes_at_most(memory: MemoryQueue[Any]):
    for _ in range(1000):
        memory.put(TEA)
    with pytest.raises(EventTooLargeError) as raised:
        memory.put({"noun": "x" * 102_400})
    assert raised.value.limit_bytes == 102_400
    assert repr(memory).startswith("<EventQueue 'memory': 1,000 accepted, 0 full, 1 too_large")


# --- told to be full -------------------------------------------------------------------------------------


def test_it_can_be_told_to_be_full_and_no_longer(memory: MemoryQueue[Any]):
    memory.full = True
    with pytest.raises(EventQueueFullError):
        memory.put(TEA)
    assert memory.full
    memory.full = False
    memory.put(TEA)
    assert memory.events == [TEA]


def test_clear_forgets_what_was_put_and_makes_room():
    memory: MemoryQueue[Any] = MemoryQueue(max_messages=1)
    memory.put({"noun": "coffee"})
    assert memory.full
    memory.clear()
    memory.put(TEA)
    assert memory.events == [TEA]


def cleared(memory: MemoryQueue[Any]) -> None:
    memory.clear()


def no_longer_full(memory: MemoryQueue[Any]) -> None:
    memory.full = False


@pytest.mark.parametrize(("max_messages", "make_room"), [(1, cleared), (2, no_longer_full)])
def test_a_put_with_a_timeout_waits_for_another_thread_to_make_room(
    max_messages: int, make_room: Callable[[MemoryQueue[Any]], None]
):
    memory: MemoryQueue[Any] = MemoryQueue(max_messages=max_messages)
    memory.put(TEA)
    memory.full = max_messages > 1
    waiting = threading.Thread(target=memory.put, args=({"noun": "late"},), kwargs={"timeout": 20})
    waiting.start()
    wait_until(lambda: memory._queue._changed._waiters, "the thread waits")
    make_room(memory)
    waiting.join()
    assert memory.events[-1] == {"noun": "late"}


def test_a_put_that_waits_in_vain_is_counted(memory: MemoryQueue[Any]):
    memory.full = True
    with pytest.raises(EventQueueFullError):
        memory.put(TEA, timeout=0.01)
    assert memory.counts.full == 1


# --- a real one ------------------------------------------------------------------------------------------


def test_a_posix_queue_is_real_small_and_gone_afterwards():
    with (
        posix_queue(serialize_v2_event, max_messages=1, max_message_size=256) as events,
        posix_queue() as other,
    ):
        assert events.name != other.name
        event = Event(source="shop", action="buy", noun="tea")
        events.put(event)
        with pytest.raises(EventQueueFullError):
            events.put(event)
        assert take_messages(events.name) == [serialize_v2_event(event)]
        assert take_messages(events.name) == []
    with pytest.raises(QueueMissingError):
        take_messages(events.name)


def test_a_posix_queue_that_the_test_removed_is_no_error():
    with posix_queue() as events:
        remove_queue(events.name)


def test_send_calls_a_put_that_a_subclass_has_of_its_own():
    class Own(MemoryQueue[Any]):
        def put(self, event: Any, timeout: float = 0.0) -> None:
            super().put({**event, "own": True}, timeout)

    queue = Own()
    queue.send(TEA)
    assert queue.events == [{**TEA, "own": True}]
