"""`put`: every event is enqueued or refused with a reason, from any thread, even if the queue is replaced."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.forked import as_root, in_child, in_own_namespace, other_uid
from support.waiting import DEADLINE_SECONDS, wait_until

from eventpub.errors import (
    EventError,
    EventQueueClosedError,
    EventQueueFullError,
    EventSerializationError,
    EventTooLargeError,
    QueueMissingError,
    QueueNameError,
    QueuePermissionError,
)
from eventpub.queue.event_queue import Counts, EventQueue
from eventpub.queue.message_queue import MessageQueue, remove_queue
from eventpub.schemas.event.ttypes import Event
from eventpub.serialization.serialize import serialize_v2_event

EVENTS = 5
SIZE = 512


@pytest.fixture
def events(queue_name: str) -> Iterator[EventQueue[bytes]]:
    """A queue whose events are bytes already."""
    with EventQueue(queue_name, bytes.upper, max_messages=EVENTS, max_message_size=SIZE) as queue:
        yield queue


@pytest.fixture
def sidecar(events: EventQueue[bytes]) -> Iterator[MessageQueue]:
    """The other end."""
    with MessageQueue.open(events.name, write=False, create=False) as queue:
        yield queue


def fill(events: EventQueue[bytes]) -> None:
    for _ in range(EVENTS):
        events.put(b"filler")


def take_all(queue: MessageQueue) -> list[bytes]:
    return list(iter(queue.receive, None))


# --- enqueued --------------------------------------------------------------------------------------------


def test_an_event_arrives_as_its_serializer_wrote_it(events: EventQueue[bytes], sidecar: MessageQueue):
    events.put(b"one")
    events.send(b"two")
    assert take_all(sidecar) == [b"ONE", b"TWO"]
    assert events.counts == Counts(accepted=2, full=0, too_large=0, unserializable=0)


def test_without_a_serializer_structs_are_written_as_version_2_and_mappings_as_json(queue_name: str):
    event = Event(source="shop", action="buy", noun="tea", client_timestamp=1, uuid="u")
    with EventQueue(queue_name, max_messages=2, max_message_size=SIZE) as events:
        events.put(event)
        events.put({"noun": "tea"})
        with MessageQueue.open(queue_name) as sidecar:
            assert sidecar.receive() == serialize_v2_event(event)
            assert json.loads(sidecar.receive()) == {"noun": "tea"}


def test_an_event_survives_the_death_of_its_process(events: EventQueue[bytes], sidecar: MessageQueue):
    def put_and_die() -> None:
        events.put(b"last words")
        os._exit(1)

    with pytest.raises(AssertionError, match="wait status"):
        in_child(put_and_die)
    assert take_all(sidecar) == [b"LAST WORDS"]


def test_parent_and_child_of_a_fork_put_on_the_same_queue(events: EventQueue[bytes], sidecar: MessageQueue):
    def put() -> Counts:
        events.put(b"child")
        return events.counts

    events.put(b"parent before")
    assert in_child(put).accepted == 2, "a child counts on from its parent's numbers"
    events.put(b"parent after")
    assert take_all(sidecar) == [b"PARENT BEFORE", b"CHILD", b"PARENT AFTER"]
    assert events.counts.accepted == 2


def test_threads_may_put_at_the_same_time_and_nothing_is_lost(events: EventQueue[bytes], sidecar: MessageQueue):
    def produce(prefix: str) -> None:
        for number in range(200):
            events.put(f"{prefix}{number}".encode(), timeout=20)

    threads = [threading.Thread(target=produce, args=(prefix,)) for prefix in "ABCD"]
    for thread in threads:
        thread.start()
    received: list[bytes] = []
    wait_until(lambda: received.extend(take_all(sidecar)) or len(received) == 800, "800 events arrive")
    for thread in threads:
        thread.join()
    for prefix in "ABCD":
        own = [message for message in received if message.startswith(prefix.encode())]
        assert own == [f"{prefix}{number}".encode() for number in range(200)]
    assert events.counts.accepted == 800


def test_asyncio_handlers_may_put(events: EventQueue[bytes], sidecar: MessageQueue):
    async def handler(number: int) -> None:
        events.put(b"%d" % number)

    async def serve() -> None:
        await asyncio.gather(*map(handler, range(EVENTS)))

    asyncio.run(serve())
    assert sorted(take_all(sidecar)) == [b"0", b"1", b"2", b"3", b"4"]


def test_a_greenlet_that_waits_for_room_lets_others_run(queue_name: str):
    program = f"""
        from gevent import monkey; monkey.patch_all()
        import gevent
        from eventpub import EventQueue
        from eventpub.queue.message_queue import MessageQueue
        queue = EventQueue({queue_name!r}, bytes, max_messages=1, max_message_size=128)
        queue.put(b"fills it")
        sidecar = MessageQueue.open({queue_name!r})
        waiting = gevent.spawn(queue.put, b"waits", 20)
        taking = gevent.spawn_later(0.05, sidecar.receive)
        gevent.joinall([waiting, taking], timeout=10, raise_error=True)
        print(taking.value, sidecar.receive())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.stdout, done.stderr) == ("b'fills it' b'waits'\n", "")


# --- refused ---------------------------------------------------------------------------------------------


def test_a_full_queue_refuses_at_once_and_names_itself(events: EventQueue[bytes], sidecar: MessageQueue):
    fill(events)
    with pytest.raises(EventQueueFullError, match=f"{events.name!r} is full; usually its sidecar") as raised:
        events.put(b"one too many")
    assert events.counts == Counts(accepted=EVENTS, full=1, too_large=0, unserializable=0)
    assert raised.value.queue_name == events.name
    assert take_all(sidecar) == [b"FILLER"] * EVENTS


def test_a_timeout_waits_for_room_and_no_longer(events: EventQueue[bytes], sidecar: MessageQueue):
    fill(events)
    with pytest.raises(EventQueueFullError):
        events.put(b"too late", timeout=0.05)
    taker = threading.Timer(0.05, sidecar.receive)
    taker.start()
    events.put(b"in time", timeout=20)
    taker.join()
    assert take_all(sidecar)[-1] == b"IN TIME"


def test_an_event_too_large_for_this_queue_is_refused_with_both_numbers(
    events: EventQueue[bytes], sidecar: MessageQueue
):
    events.put(b"x" * SIZE)
    with pytest.raises(EventTooLargeError) as raised:
        events.put(b"x" * (SIZE + 1))
    assert (raised.value.size_bytes, raised.value.limit_bytes) == (SIZE + 1, SIZE)
    assert events.counts == Counts(accepted=1, full=0, too_large=1, unserializable=0)
    assert len(take_all(sidecar)) == 1


@as_root
@pytest.mark.alone  # its queue is a quarter of what a user may have
def test_no_event_is_larger_than_102400_bytes_however_large_the_queue_is(queue_name: str):
    def put() -> tuple[int, int]:
        with EventQueue(queue_name, bytes, max_messages=1, max_message_size=200_000) as events:
            with pytest.raises(EventTooLargeError) as raised:
                events.put(b"x" * 102_401)
            events.put(b"x" * 102_400)
            return raised.value.args

    assert in_own_namespace(put, msgsize_max=200_000) == (102_401, 102_400)


def test_whatever_a_serializer_raises_becomes_a_serialization_error(queue_name: str):
    with EventQueue(queue_name, lambda event: event["missing"], max_messages=1, max_message_size=128) as events:
        with pytest.raises(
            EventSerializationError, match="event is of type dict: KeyError: 'missing'"
        ) as raised:
            events.put({})
        assert isinstance(raised.value.__cause__, KeyError)
        assert events.counts.unserializable == 1


def test_an_event_error_of_a_serializer_is_passed_on_as_it_is(queue_name: str):
    class UnwantedError(EventError):
        pass

    def refuse(_event: object) -> bytes:
        raise UnwantedError

    with EventQueue(queue_name, refuse, max_messages=1, max_message_size=128) as events:
        with pytest.raises(UnwantedError):
            events.put({})
        assert events.counts.unserializable == 1


@pytest.mark.parametrize(
    "returned",
    [None, 7, ["list"], memoryview(b"x"), array("B", b"x")],
    ids=lambda value: type(value).__name__,
)
def test_a_serializer_that_does_not_return_bytes_is_found_out(queue_name: str, returned: object):
    with EventQueue(queue_name, lambda _: returned, max_messages=1, max_message_size=128) as events:
        with pytest.raises(EventSerializationError, match=f"returned {type(returned).__name__}, not bytes"):
            events.put({})
        assert events.counts == Counts(accepted=0, full=0, too_large=0, unserializable=1)


@pytest.mark.parametrize("returned", ["grün", bytearray("grün".encode())])
def test_text_and_bytearrays_of_a_serializer_are_sent_as_utf_8(queue_name: str, returned: object):
    with EventQueue(queue_name, lambda _: returned, max_messages=1, max_message_size=128) as events:
        events.put({})
        with MessageQueue.open(queue_name) as sidecar:
            assert sidecar.receive() == "grün".encode()


def test_text_that_has_no_utf_8_is_a_serialization_error(queue_name: str):
    with (
        EventQueue(queue_name, lambda _: "a\ud800", max_messages=1, max_message_size=128) as events,
        pytest.raises(EventSerializationError, match=r"cannot be encoded as UTF-8 \(character 1\)"),
    ):
        events.put({})


def test_the_limit_holds_for_the_bytes_and_not_for_the_characters(queue_name: str):
    with (
        EventQueue(queue_name, lambda _: "ü" * 65, max_messages=1, max_message_size=128) as events,
        pytest.raises(EventTooLargeError) as raised,
    ):
        events.put({})
    assert raised.value.size_bytes == 130


def test_a_closed_queue_says_so(events: EventQueue[bytes]):
    events.close()
    events.close()
    with pytest.raises(EventQueueClosedError, match=f"EventQueue\\({events.name!r}\\)"):
        events.put(b"x")
    assert repr(events).endswith("closed>>")


def test_a_queue_that_a_daemon_has_closed_by_its_number_says_so(events: EventQueue[bytes]):
    def child() -> str:
        for link in list(Path("/proc/self/fd").iterdir()):
            with contextlib.suppress(OSError):  # the folder's own is closed by now
                if str(link.readlink()).startswith(f"/events-{events.name}"):
                    os.close(int(link.name))
        with pytest.raises(EventQueueClosedError) as caught:
            events.put(b"x")
        return str(caught.value)

    assert f"EventQueue({events.name!r})" in in_child(child)
    events.put(b"x")


def close_by_number(events: EventQueue[bytes]) -> int:
    """Close a queue's descriptor as a process that becomes a daemon does, and return its number."""
    fd = events._queue.fd
    os.close(fd)
    return fd


def test_a_descriptor_that_another_queue_has_got_is_found_out_at_once(events: EventQueue[bytes]):
    fd = close_by_number(events)
    with EventQueue(f"{events.name}-b", bytes, max_messages=2, max_message_size=SIZE) as other:
        try:
            assert other._queue.fd == fd
            for _ in range(2):
                with pytest.raises(EventQueueClosedError, match=events.name):
                    events.put(b"for the first queue")
            events.close()
            with pytest.raises(EventQueueClosedError, match=events.name):
                events.put(b"for the first queue")
            other.put(b"still open")
            with MessageQueue.open(other.name, create=False) as sidecar:
                assert take_all(sidecar) == [b"still open"]
        finally:
            remove_queue(other.name)


def test_a_descriptor_that_something_else_has_got_is_found_out_by_the_next_look(events: EventQueue[bytes]):
    fd = close_by_number(events)
    with MessageQueue.open(events.name, create=False) as other:
        assert other.fd == fd
        wait_for_next_look(events)
        other.unlink()
        MessageQueue.open(events.name, max_messages=1, max_message_size=128).close()
        with other:
            pass
    with Path(os.devnull).open() as file:
        assert file.fileno() == fd
        with pytest.raises(EventQueueClosedError):
            events.put(b"x")
        events.close()
        assert "closed" in repr(events)
        os.fstat(fd)


def test_close_never_fails_and_closes_nothing_that_is_not_its_own(events: EventQueue[bytes]):
    fd = close_by_number(events)
    events.close()
    with MessageQueue.open(events.name, create=False) as queue:
        assert queue.fd == fd
        events.close()
        assert queue.depth() == 0


def test_a_queue_that_is_dropped_unclosed_is_closed_with_a_warning(queue_name: str):
    before = open_files()
    for _ in range(20):
        queue = EventQueue(queue_name, bytes, max_messages=1, max_message_size=128)
        with pytest.warns(ResourceWarning, match=f"unclosed <EventQueue {queue_name!r}"):
            del queue
    held = [EventQueue(queue_name, bytes, metrics=lambda *_: None)]  # it is part of a circle

    def let_go() -> None:
        held.clear()  # a collection may come by itself from here on
        gc.collect()

    with pytest.warns(ResourceWarning, match=f"unclosed <EventQueue {queue_name!r}"):
        let_go()
    assert open_files() == before


def test_a_queue_that_lasts_as_long_as_its_process_is_no_leak(queue_name: str):
    program = f"""
        import os
        from eventpub import EventQueue
        queue = EventQueue({queue_name!r}, bytes, max_messages=1, max_message_size=128)
        queue.cycle = queue
        if os.fork():
            os.wait()
    """
    command = [sys.executable, "-X", "dev", "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    assert done.stderr == ""


def test_a_child_that_drops_its_copy_leaves_the_parents_open(events: EventQueue[bytes], sidecar: MessageQueue):
    def drop() -> None:
        with pytest.warns(ResourceWarning):
            events.__del__()

    in_child(drop)
    events.put(b"x")
    assert take_all(sidecar) == [b"X"]


def test_a_bad_name_is_refused_when_it_is_opened():
    with pytest.raises(QueueNameError):
        EventQueue("../v2")


def test_its_repr_tells_counts_and_depth(events: EventQueue[bytes]):
    events.put(b"x")
    assert repr(events).startswith(
        f"<EventQueue {events.name!r}: 1 accepted, 0 full, 0 too_large, 0 unserializable; <MessageQueue"
    )
    assert "1 of 5 messages" in repr(events)


# --- rights ----------------------------------------------------------------------------------------------


@as_root
def test_who_may_only_write_can_put(queue_name: str):
    def put() -> Counts:
        with EventQueue(queue_name) as events:
            events.put({"from": "a member of the group"})
            return events.counts

    group = other_uid()
    with MessageQueue.open(
        queue_name, max_messages=2, max_message_size=128, mode=0o620, group=str(group)
    ) as sidecar:
        assert in_child(put, uid=other_uid(), gid=group).accepted == 1
        assert json.loads(sidecar.receive()) == {"from": "a member of the group"}
        with pytest.raises(QueuePermissionError, match="may not send to it"):
            in_child(put, uid=other_uid())


# --- a queue that is removed while it is open ------------------------------------------------------------


def replace(events: EventQueue[bytes], **wishes: int) -> MessageQueue:
    """Remove the queue and create another of its name."""
    with MessageQueue.open(events.name, create=False) as old:
        old.unlink()
    return MessageQueue.open(events.name, **{"max_messages": 10, "max_message_size": SIZE, **wishes})


def open_files() -> set[str]:
    links = (link for link in Path("/proc/self/fd").iterdir() if link.is_symlink())
    return {str(link.readlink()) for link in links}


def wait_for_next_look(events: EventQueue[bytes]) -> None:
    wait_until(lambda: time.monotonic() > events._look_at, "the next look is due")


def test_a_replaced_queue_is_followed_within_a_second_and_no_event_is_lost(events: EventQueue[bytes]):
    events.put(b"before")
    with replace(events) as sidecar:
        events.put(b"meanwhile")
        wait_for_next_look(events)
        events.put(b"after")
        assert take_all(sidecar) == [b"BEFORE", b"MEANWHILE", b"AFTER"]


def test_the_old_queue_is_full_for_all_who_are_late_to_send_to_it(events: EventQueue[bytes]):
    with MessageQueue.open(events.name, create=False) as old, replace(events) as sidecar:
        wait_for_next_look(events)
        events.put(b"after")
        assert not old.send(b"LATE")
        wait_for_next_look(events)
        events.put(b"last")
        assert take_all(sidecar) == [b"AFTER", b"LAST"]
    assert f"/events-{events.name} (deleted)" not in open_files(), "the old queue is let go"


def test_an_event_that_comes_while_the_old_queue_is_emptied_is_fetched(events: EventQueue[bytes]):
    with MessageQueue.open(events.name, create=False) as old, replace(events) as sidecar:
        wait_for_next_look(events)
        events.put(b"after")
        take_all(old)  # as another process does that empties it at the same time
        assert old.send(b"LATE")
        wait_for_next_look(events)
        events.put(b"last")
        assert take_all(sidecar) == [b"AFTER", b"LATE", b"LAST"]


def test_a_full_queue_is_looked_at_at_once(events: EventQueue[bytes]):
    fill(events)
    with replace(events) as sidecar:
        events.put(b"sixth")
        assert take_all(sidecar) == [b"FILLER"] * EVENTS + [b"SIXTH"]


def test_the_size_of_the_replacement_holds(events: EventQueue[bytes]):
    fill(events)
    with replace(events, max_message_size=128) as sidecar:
        with pytest.raises(EventTooLargeError) as raised:
            events.put(b"x" * 129)
        assert raised.value.limit_bytes == 128
        assert len(take_all(sidecar)) == EVENTS


def test_events_for_which_the_replacement_has_no_room_wait_in_the_old_queue(events: EventQueue[bytes]):
    fill(events)
    with replace(events, max_messages=2) as sidecar:
        with pytest.raises(EventQueueFullError):
            events.put(b"sixth")
        taken = take_all(sidecar)
        while len(taken) < EVENTS:
            with contextlib.suppress(EventQueueFullError):
                events.put(b"x")
            taken += [message for message in take_all(sidecar) if message != b"X"]
        assert taken == [b"FILLER"] * EVENTS


def test_an_event_that_was_taken_out_of_the_old_queue_goes_before_those_that_are_put(events: EventQueue[bytes]):
    """Or it would be lost with this process, which may be killed while others take each place at once."""
    with replace(events, max_messages=1) as sidecar:
        wait_for_next_look(events)
        events.put(b"first")
        (removed,) = events._removed._queues
        removed._in_hand = b"HELD"  # as after others had filled both queues meanwhile
        wait_for_next_look(events)
        with pytest.raises(EventQueueFullError):
            events.put(b"second")
        assert take_all(sidecar) == [b"FIRST"]
        with pytest.raises(EventQueueFullError):
            events.put(b"second")
        assert take_all(sidecar) == [b"HELD"]
        events.put(b"second")
        assert take_all(sidecar) == [b"SECOND"]


def test_an_event_too_long_for_the_replacement_waits_for_a_sidecar_of_the_old_queue(events: EventQueue[bytes]):
    events.put(b"x" * 200)
    events.put(b"short")
    with MessageQueue.open(events.name, create=False) as old, replace(events, max_message_size=128) as sidecar:
        wait_for_next_look(events)
        events.put(b"new")
        assert take_all(sidecar) == [b"SHORT", b"NEW"]
        assert take_all(old) == [b"X" * 200]


def test_close_takes_along_what_lies_in_a_removed_queue(events: EventQueue[bytes]):
    fill(events)
    with replace(events, max_messages=2) as sidecar:
        received: list[bytes] = []
        taker = threading.Thread(
            target=wait_until,
            args=(lambda: received.extend(take_all(sidecar)) or len(received) == EVENTS, "all"),
        )
        taker.start()
        events.close()
        taker.join()
        assert received == [b"FILLER"] * EVENTS


def test_the_end_of_the_process_takes_along_what_lies_in_a_removed_queue(queue_name: str):
    program = f"""
        from eventpub import EventQueue
        from eventpub.queue.message_queue import MessageQueue, remove_queue
        queue = EventQueue({queue_name!r}, bytes, max_messages=2, max_message_size=128)
        queue.put(b"one")
        remove_queue({queue_name!r})
        MessageQueue.open({queue_name!r}, max_messages=2, max_message_size=128).close()
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=30)
    with MessageQueue.open(queue_name, create=False) as sidecar:
        assert take_all(sidecar) == [b"one"]


def test_close_makes_no_queue_in_the_place_of_one_that_was_removed(events: EventQueue[bytes]):
    events.put(b"x")
    remove_queue(events.name)
    events.close()
    with pytest.raises(QueueMissingError):
        MessageQueue.open(events.name, create=False)


def test_a_forked_child_moves_nothing_that_its_parent_has_in_hand(events: EventQueue[bytes]):
    with MessageQueue.open(events.name, create=False) as old, replace(events, max_message_size=1) as sidecar:
        old.send(b"LONG")
        wait_for_next_look(events)
        events.put(b"1")
        assert in_child(lambda: len(events._removed._queues)) == 0
        assert len(events._removed._queues) == 1
        assert take_all(sidecar) == [b"1"]


def test_a_queue_of_ones_own_that_was_removed_is_created_again(events: EventQueue[bytes]):
    fill(events)
    with MessageQueue.open(events.name, create=False) as old:
        old.unlink()
    with pytest.raises(EventQueueFullError):
        events.put(b"sixth")
    with MessageQueue.open(events.name, create=False) as sidecar:
        assert take_all(sidecar) == [b"FILLER"] * EVENTS


@pytest.mark.usefixtures("frequent_switches")
def test_threads_may_put_while_the_queue_is_removed_again_and_again_and_nothing_is_lost(
    events: EventQueue[bytes],
):
    raised: list[BaseException] = []
    done = threading.Event()

    def produce(prefix: str) -> None:
        try:
            while not done.is_set():
                with contextlib.suppress(EventQueueFullError):
                    events.put(b"%s%d" % (prefix.encode(), events.counts.accepted), timeout=0.001)
        except BaseException as error:  # noqa: BLE001, whatever it is
            raised.append(error)

    before = len(open_descriptors())
    threads = [threading.Thread(target=produce, args=(prefix,)) for prefix in "ABCDEFGH"]
    for thread in threads:
        thread.start()
    received: list[bytes] = []
    for _ in range(24):
        with contextlib.suppress(QueueMissingError):
            remove_queue(events.name)
        known = len(received)
        wait_until(
            lambda known=known: raised or received.extend(take_some(events.name)) or len(received) > known,
            "events arrive in the queue made anew",
        )
    done.set()
    for thread in threads:
        thread.join(DEADLINE_SECONDS)
        assert not thread.is_alive(), "a thread moves messages without an end"
    assert raised == []

    def arrive() -> bool:
        events._look()
        received.extend(take_some(events.name))
        return len(received) >= events.counts.accepted and not events._removed._queues

    wait_until(arrive, "all that was accepted arrives")
    assert len(received) == events.counts.accepted
    assert len(open_descriptors()) == before


def take_some(name: str) -> list[bytes]:
    """Take what is in the queue that has the name, if one has."""
    try:
        with MessageQueue.open(name, create=False) as queue:
            return take_all(queue)
    except QueueMissingError:
        return []


def open_descriptors() -> list[Path]:
    return list(Path("/proc/self/fd").iterdir())


def test_a_fork_while_another_thread_looks_lets_the_child_look(events: EventQueue[bytes]):
    def put() -> None:
        with replace(events) as sidecar:
            wait_for_next_look(events)
            events.put(b"child")
            assert take_all(sidecar) == [b"CHILD"]

    with events._looking:
        in_child(put)


@as_root
def test_a_queue_of_somebody_else_is_waited_for_and_not_created(queue_name: str):
    """The application's user would make one that its owner, the sidecar, may not read."""
    user = other_uid()
    wishes = {"max_messages": 2, "max_message_size": 128, "mode": 0o622}

    def live_through_a_replacement() -> list[bytes | None]:
        as_user = pretend(user)
        sidecar = MessageQueue.open(queue_name, **wishes)
        events = as_user(lambda: EventQueue(queue_name, bytes))
        as_user(lambda: [events.put(b"old") for _ in range(2)])
        sidecar.unlink()
        with pytest.raises(EventQueueFullError) as raised:
            as_user(lambda: events.put(b"refused", timeout=0.1))
        assert isinstance(raised.value.__cause__, QueueMissingError)
        with pytest.raises(QueueMissingError):
            MessageQueue.open(queue_name, create=False)
        new = MessageQueue.open(queue_name, **wishes)
        as_user(lambda: events.put(b"new"))
        return [new.receive(), new.receive()]

    assert in_child(live_through_a_replacement) == [b"new", None]


def pretend(uid: int) -> Callable[[Callable[[], object]], object]:
    """Return what calls a function as another user and then is root again."""

    def call(function: Callable[[], object]) -> object:
        os.seteuid(uid)
        try:
            return function()
        finally:
            os.seteuid(0)

    return call


# --- wrong use -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [None, "1", -1, float("nan")])
def test_a_timeout_that_makes_no_sense_is_refused_with_room_and_without(
    events: EventQueue[bytes], timeout: Any
):
    with pytest.raises(ValueError, match=r"timeout is .*: give seconds"):
        events.put(b"x", timeout)
    fill(events)
    with pytest.raises(ValueError, match=r"timeout is .*: give seconds"):
        events.put(b"x", timeout)
    assert events.counts == Counts(EVENTS, 0, 0, 0)


def test_the_remedy_for_an_event_that_is_too_large_depends_on_whose_limit_it_is():
    whose = "the event has 102,401 bytes; no queue takes more than 102,400; send a smaller event"
    assert str(EventTooLargeError(102_401, 102_400)) == whose
    assert str(EventTooLargeError(600, 512)).startswith(
        "the event has 600 bytes; this queue was created for 512; send a smaller event, or make the queue "
        "larger with `eventpub queue resize NAME --max-message-size`"
    )


# --- arguments and uses that make no sense ---------------------------------------------------------------


def test_a_serializer_that_is_no_function_is_refused_before_there_is_a_queue(queue_name: str):
    with pytest.raises(TypeError, match="event_serializer is 'x': give a function such as serialize_v2_event"):
        EventQueue(queue_name, "x")
    with pytest.raises(QueueMissingError):
        MessageQueue.open(queue_name, create=False)


@pytest.mark.parametrize("name", [None, 5])
def test_a_name_that_is_no_text_is_refused_as_any_wrong_name(name: object):
    with pytest.raises(QueueNameError, match=f"{name}: use 1 to 200 letters"):
        EventQueue(name)


def test_a_queue_that_is_pickled_says_what_to_do_instead(events: EventQueue[bytes]):
    with pytest.raises(
        TypeError, match="cannot be pickled: open one in each process, or fork, and use the same"
    ):
        pickle.dumps(events)
