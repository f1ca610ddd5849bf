"""`capture_events`: everything that is put in the block, by whomever, and nothing reaches the kernel."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.forked import in_child

from eventpub import EventQueue
from eventpub.errors import (
    EventQueueClosedError,
    EventSerializationError,
    EventTooLargeError,
    QueueMissingError,
    QueueNameError,
)
from eventpub.queue import registry
from eventpub.queue.message_queue import MessageQueue
from eventpub.testing import MemoryQueue, capture_events, posix_queue, take_messages
from eventpub.testing.record import active

TEA, COFFEE, MILK = ({"noun": noun} for noun in ("tea", "coffee", "milk"))


@pytest.fixture
def real() -> Iterator[EventQueue[Any]]:
    with posix_queue(max_message_size=128) as events:
        yield events


def test_a_queue_that_is_open_is_captured_and_afterwards_real_again(real: EventQueue[Any]):
    serializer = real._serialize
    real.put(TEA)
    with capture_events() as captured:
        real.put(COFFEE)
        assert captured.events == [COFFEE]
    real.put(MILK)
    assert real._serialize is serializer
    assert take_messages(real.name) == [b'{"noun":"tea"}', b'{"noun":"milk"}']
    assert captured.decoded == [COFFEE]
    assert [put.queue_name for put in captured.puts] == [real.name]


def test_a_bound_put_that_somebody_holds_is_captured_too(real: EventQueue[Any]):
    put = real.put
    with capture_events() as captured:
        put(TEA)
    assert (captured.events, take_messages(real.name)) == ([TEA], [])


def test_a_queue_opened_in_the_block_never_reaches_the_kernel(queue_name: str):
    with capture_events() as captured:
        events = EventQueue(queue_name, max_messages=10, max_message_size=128)
        events.put(TEA)
    events.put(COFFEE)
    with pytest.raises(QueueMissingError):
        MessageQueue.open(queue_name, create=False)
    assert captured.events == [TEA]
    with capture_events() as again:
        events.put(MILK)
    assert again.events == [MILK]


def test_a_queue_opened_after_the_block_is_real(queue_name: str):
    with capture_events():
        pass
    with EventQueue(queue_name, max_messages=2, max_message_size=128) as events:
        events.put(TEA)
    assert take_messages(queue_name) == [b'{"noun":"tea"}']


def test_what_other_threads_put_is_captured_with_its_own_event(real: EventQueue[Any]):
    def produce(letter: str) -> None:
        for number in range(100):
            real.put({"letter": letter, "number": number})

    with capture_events() as captured:
        threads = [threading.Thread(target=produce, args=(letter,)) for letter in "ABC"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(captured.events) == 300
    assert captured.decoded == captured.events


def test_events_go_to_a_block_and_to_all_blocks_around_it(real: EventQueue[Any]):
    with capture_events() as outer:
        real.put(TEA)
        with capture_events() as inner:
            real.put(COFFEE)
        real.put(MILK)
    assert outer.events == [TEA, COFFEE, MILK]
    assert inner.events == [COFFEE]


def test_blocks_that_overlap_may_end_in_any_order(real: EventQueue[Any]):
    first, second = contextlib.ExitStack(), contextlib.ExitStack()
    one = first.enter_context(capture_events())
    other = second.enter_context(capture_events())
    first.close()
    real.put(TEA)
    second.close()
    real.put(COFFEE)
    assert (one.events, other.events) == ([], [TEA])
    assert take_messages(real.name) == [b'{"noun":"coffee"}']


def test_threads_that_put_while_blocks_begin_and_end_lose_nothing(real: EventQueue[Any]):
    """Each event is captured, or the kernel has it."""
    done = threading.Event()
    count = 0
    taken: list[bytes] = []
    captured: list[Any] = []

    def produce() -> None:
        nonlocal count
        while not done.is_set():
            real.put({"number": count}, timeout=20)
            count += 1

    thread = threading.Thread(target=produce)
    thread.start()
    for _ in range(50):
        with capture_events() as record:
            taken += take_messages(real.name)
        captured += record.messages
        taken += take_messages(real.name)
    done.set()
    while thread.is_alive():
        taken += take_messages(real.name)
    taken += take_messages(real.name)
    assert sorted(json.loads(message)["number"] for message in taken + captured) == list(range(count))


def test_a_message_that_comes_a_moment_after_the_block_is_refused_and_so_goes_to_the_kernel(
    real: EventQueue[Any],
):
    with capture_events():
        late_send = real._raw_send
    with pytest.raises(BlockingIOError):  # upon which `put` looks where to send it now
        late_send(b"late")


def test_serializers_limits_counts_and_errors_are_the_real_ones(real: EventQueue[Any]):
    with capture_events() as captured:
        with pytest.raises(EventTooLargeError) as raised:
            real.put({"noun": "x" * 128})
        with pytest.raises(EventSerializationError):
            real.put({"noun": object()})
        for _ in range(100):
            real.put(TEA)
        with pytest.raises(QueueNameError):
            EventQueue("../x")
        opened = EventQueue("new", bytes.upper, max_message_size=4)
        opened.put(b"four")
        with pytest.raises(EventTooLargeError):
            opened.put(b"fives")
    assert raised.value.limit_bytes == 128
    assert captured.messages[100:] == [b"FOUR"]
    assert real.counts == (100, 0, 1, 1)


def test_an_exception_in_the_block_makes_queues_real_again(real: EventQueue[Any]):
    with pytest.raises(OSError, match="broken"), capture_events():
        raise OSError("broken")
    real.put(TEA)
    assert len(take_messages(real.name)) == 1
    assert (active, registry.stand_in) == ([], None)


def test_a_queue_closed_before_or_in_the_block_refuses_in_it_and_afterwards(queue_name: str):
    with posix_queue() as closed_before:
        closed_before.close()
        closed_inside = EventQueue(queue_name, max_messages=1, max_message_size=128)
        fd_path = Path(f"/proc/self/fd/{closed_inside._queue.fd}")
        with capture_events():
            closed_inside.close()
            for events in (closed_before, closed_inside):
                with pytest.raises(EventQueueClosedError):
                    events.put(TEA)
        assert not (fd_path.is_symlink() and queue_name in str(fd_path.readlink()))
        for events in (closed_before, closed_inside):
            with pytest.raises(EventQueueClosedError):
                events.put(TEA)


def test_a_memory_queue_is_captured_and_keeps_its_own_record_and_limits():
    memory: MemoryQueue[Any] = MemoryQueue(max_messages=3)
    memory.put(TEA)
    with capture_events() as captured:
        memory.put(COFFEE)
    memory.put(MILK)
    assert memory.full
    assert (memory.events, captured.events) == ([TEA, COFFEE, MILK], [COFFEE])


def test_what_was_captured_can_be_cleared(real: EventQueue[Any]):
    with capture_events() as captured:
        real.put(TEA)
        captured.clear()
        real.put(COFFEE)
    assert captured.events == [COFFEE]


def test_a_forked_child_puts_nothing_on_the_kernels_queue_either(real: EventQueue[Any]):
    def put() -> list[Any]:
        real.put(TEA)
        return captured.events

    with capture_events() as captured:
        assert in_child(put) == [TEA]
    assert (captured.events, take_messages(real.name)) == ([], [])


def test_queues_that_nobody_holds_any_more_are_not_kept(queue_name: str):
    events = EventQueue(queue_name, max_messages=1, max_message_size=128)
    key = id(events)
    assert registry.event_queues[key] is events
    events.close()
    del events
    assert key not in registry.event_queues
