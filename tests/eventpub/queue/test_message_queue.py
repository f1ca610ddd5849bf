"""The queue, both ends, on the kernel's own: what arrives, what is refused, and what the refusal says."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import resource
import select
import signal
import threading
import tracemalloc
from collections.abc import Iterator

import posix_ipc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.forked import as_root, in_child, in_own_namespace, other_uid, refuse_mq_open

from eventpub.errors import (
    EventQueueClosedError,
    EventTooLargeError,
    QueueLimitError,
    QueueMissingError,
    QueueNameError,
    QueuePermissionError,
    QueueUnsupportedError,
)
from eventpub.queue.message_queue import MessageQueue

pytestmark = pytest.mark.alone  # a limit that counts for all queues of a user

MESSAGES = 5
SIZE = 1024


@pytest.fixture
def queue(queue_name: str) -> Iterator[MessageQueue]:
    with MessageQueue.open(queue_name, max_messages=MESSAGES, max_message_size=SIZE) as opened:
        yield opened


def fill(queue: MessageQueue) -> None:
    while queue.send(b"x"):
        pass


# --- messages --------------------------------------------------------------------------------------------


def test_messages_arrive_whole_and_in_order(queue: MessageQueue):
    messages = [b"", b"\x00\xff", b"x" * SIZE]
    assert [queue.send(message) for message in messages] == [True] * 3
    assert [queue.receive() for _ in messages] == messages


def test_a_full_queue_refuses_and_an_empty_one_gives_nothing(queue: MessageQueue):
    assert queue.receive() is None
    assert [queue.send(b"x") for _ in range(MESSAGES + 1)] == [True] * MESSAGES + [False]
    assert queue.depth() == MESSAGES
    assert [queue.receive() for _ in range(MESSAGES + 1)] == [b"x"] * MESSAGES + [None]


def test_a_message_beyond_the_limit_is_refused_with_its_size_and_the_limit(queue: MessageQueue):
    with pytest.raises(EventTooLargeError) as raised:
        queue.send(b"x" * (SIZE + 1))
    assert (raised.value.size_bytes, raised.value.limit_bytes) == (SIZE + 1, SIZE)
    assert queue.depth() == 0


def test_a_kept_message_keeps_no_more_memory_than_it_needs(queue: MessageQueue):
    tracemalloc.start()
    kept = []
    for _ in range(100):
        queue.send(b"x" * 10)
        kept.append(queue.receive())
    used_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(kept) * SIZE > 2 * used_bytes


def test_both_ends_of_a_fork_share_the_queue(queue: MessageQueue):
    queue.send(b"from the parent")
    assert in_child(lambda: (queue.receive(), queue.send(b"from the child"))) == (b"from the parent", True)
    assert queue.receive() == b"from the child"


def test_signals_interrupt_neither_sending_nor_receiving_nor_waiting(queue: MessageQueue):
    caught = []
    before = signal.signal(signal.SIGALRM, lambda *_: caught.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        fill(queue)
        assert not queue.wait_writable(0.05)
        while len(caught) < 100:
            assert queue.receive() == b"x"
            assert queue.send(b"x")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# --- waiting ---------------------------------------------------------------------------------------------


def test_waiting_for_room_ends_when_there_is_some(queue: MessageQueue):
    assert queue.wait_writable(0)
    fill(queue)
    assert not queue.wait_writable(0.01)
    found = []
    waiter = threading.Thread(target=lambda: found.append(queue.wait_writable(20)))
    waiter.start()
    queue.receive()
    waiter.join()
    assert found == [True]


def test_the_descriptor_tells_poll_of_messages_and_of_room(queue: MessageQueue):
    poll = select.poll()
    poll.register(queue.fd, select.POLLIN | select.POLLOUT)
    assert poll.poll(0) == [(queue.fd, select.POLLOUT)]
    fill(queue)
    assert poll.poll(0) == [(queue.fd, select.POLLIN)]


# --- the life of a queue ---------------------------------------------------------------------------------


def test_who_opens_it_first_creates_it_and_its_size_holds(
    queue: MessageQueue, caplog: pytest.LogCaptureFixture
):
    assert queue.created
    with MessageQueue.open(queue.name, max_messages=2, max_message_size=SIZE) as second:
        assert not second.created
        assert (second.max_messages, second.max_message_size) == (MESSAGES, SIZE)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"it holds {MESSAGES} messages, not 2" in caplog.text


def test_who_has_no_wishes_is_told_nothing(queue: MessageQueue, caplog: pytest.LogCaptureFixture):
    MessageQueue.open(queue.name).close()
    MessageQueue.open(queue.name, create=False, max_messages=2).close()
    assert not caplog.records


def test_a_missing_queue_is_not_made_unless_wanted(queue_name: str):
    with pytest.raises(QueueMissingError, match=f"eventpub queue create {queue_name}"):
        MessageQueue.open(queue_name, create=False)
    with pytest.raises(posix_ipc.ExistentialError):
        posix_ipc.MessageQueue(f"/events-{queue_name}")


def test_a_removed_queue_is_recognised_and_its_name_is_free(queue: MessageQueue):
    assert not queue.is_orphaned()
    queue.unlink()
    assert queue.is_orphaned()
    assert queue.send(b"to nobody")
    with MessageQueue.open(queue.name, max_messages=1, max_message_size=SIZE) as new:
        assert new.created
        assert new.receive() is None
        new.unlink()
    with pytest.raises(QueueMissingError):
        queue.unlink()


def test_processes_that_race_to_create_it_share_one(queue_name: str):
    def open_and_send(number: int) -> bool:
        with MessageQueue.open(queue_name, max_messages=4, max_message_size=128) as queue:
            queue.send(b"%d" % number)
            return queue.created

    created = []
    threads = [
        threading.Thread(target=lambda n=n: created.append(in_child(lambda: open_and_send(n))))
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(created) == [False, False, False, True]
    with MessageQueue.open(queue_name, create=False) as queue:
        assert {queue.receive() for _ in range(4)} == {b"0", b"1", b"2", b"3"}


def test_everything_says_that_a_closed_queue_is_closed(queue: MessageQueue):
    queue.close()
    queue.close()
    for call in (
        lambda: queue.send(b"x"),
        queue.receive,
        queue.depth,
        queue.status,
        queue.is_orphaned,
        lambda: queue.wait_writable(1),
    ):
        with pytest.raises(EventQueueClosedError, match=queue.name):
            call()
    assert (queue.fd, repr(queue)) == (-1, f"<MessageQueue {queue.name!r}, closed>")


def test_its_repr_says_how_it_is_now(queue: MessageQueue):
    queue.send(b"x")
    said = f"<MessageQueue {queue.name!r}, 1 of 5 messages of 1,024 bytes, fd {queue.fd}"
    assert repr(queue) == f"{said}>"
    queue.unlink()
    assert repr(queue) == f"{said}, removed>"


# --- names -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".v2", "a/b", "/v2", "../v2", "v 2", "v2\n", "v2\0", "é", "x" * 201]
)
def test_a_name_that_could_be_a_path_is_refused(name: str):
    with pytest.raises(QueueNameError, match="letters, digits"):
        MessageQueue.open(name)


@pytest.mark.parametrize("name", [None, 5, b"v2", ["v2"]])
def test_what_is_no_text_is_no_name(name: object):
    with pytest.raises(QueueNameError, match=f"{re.escape(repr(name))}: use 1 to 200 letters"):
        MessageQueue.open(name)


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"mode": "600"}, "mode is '600': give permission bits as an octal number, such as 0o620"),
        ({"mode": 1600}, "mode is 1600: give"),
        ({"max_messages": "10"}, "max_messages is '10': give a whole number"),
        ({"max_message_size": 1e3}, "max_message_size is 1000.0: give a whole number"),
        ({"group": 33}, "group is 33: give a group's name, or its number as a text"),
    ],
)
def test_a_wish_of_another_kind_is_refused_with_what_to_give(
    queue_name: str, wish: dict[str, object], said: str
):
    with pytest.raises((TypeError, ValueError), match=re.escape(said)):
        MessageQueue.open(queue_name, **wish)
    with pytest.raises(QueueMissingError):
        MessageQueue.open(queue_name, create=False)


@given(st.text(st.sampled_from("abcXYZ019._-"), min_size=1, max_size=200).filter(lambda name: name[0] != "."))
def test_every_other_name_is_one(name: str):
    with pytest.raises(QueueMissingError):
        MessageQueue.open(f"n{os.getpid()}{name}"[:200], create=False)


# --- rights ----------------------------------------------------------------------------------------------


def test_the_mode_is_what_was_asked_for_whatever_the_umask(queue_name: str):
    before = os.umask(0o077)
    try:
        queue = MessageQueue.open(queue_name, max_messages=1, max_message_size=128, mode=0o626)
    finally:
        os.umask(before)
    with queue:
        assert queue.status().st_mode & 0o777 == 0o626


def test_an_end_opened_for_one_direction_refuses_the_other(queue: MessageQueue):
    with (
        MessageQueue.open(queue.name, read=False) as sender,
        MessageQueue.open(queue.name, write=False) as reader,
    ):
        sender.send(b"x")
        with pytest.raises(QueuePermissionError, match="other direction"):
            sender.receive()
        with pytest.raises(QueuePermissionError, match="other direction"):
            reader.send(b"x")
        assert reader.receive() == b"x"


def test_who_opens_a_queue_that_others_may_read_is_told(queue_name: str, caplog: pytest.LogCaptureFixture):
    with MessageQueue.open(queue_name, max_messages=1, max_message_size=128, mode=0o644):
        MessageQueue.open(queue_name).close()
    assert "its mode is 0644, not 0600 (any user can take events)" in caplog.text


def test_a_group_that_is_not_there_leaves_no_queue_behind(queue_name: str):
    with pytest.raises(QueuePermissionError, match=r"group nosuchgroup.*queue\.group"):
        MessageQueue.open(queue_name, max_messages=1, max_message_size=128, group="nosuchgroup")
    with pytest.raises(QueueMissingError):
        MessageQueue.open(queue_name, create=False)


@as_root
def test_a_user_may_not_give_a_queue_to_a_group_it_is_not_in(queue_name: str):
    def create() -> None:
        MessageQueue.open(queue_name, max_messages=1, max_message_size=128, group="0")

    with pytest.raises(QueuePermissionError, match="group 0"):
        in_child(create, uid=other_uid())


@as_root
def test_another_user_is_told_whose_the_queue_is_and_which_settings_open_it(queue: MessageQueue):
    with pytest.raises(
        QueuePermissionError,
        match=r"may not receive from it and send to it: it is (another user's|root:root, mode 0600)"
        r".*queue\.mode.*queue\.group",
    ):
        in_child(lambda: MessageQueue.open(queue.name), uid=other_uid())
    hands_over = rf"chown \d+ /dev/mqueue/events-{queue.name}; or set"
    with pytest.raises(QueuePermissionError, match=hands_over):
        in_child(lambda: MessageQueue.open(queue.name, write=False), uid=other_uid())


@as_root
def test_the_group_of_a_0620_queue_may_send_and_nothing_else(queue_name: str):
    group = other_uid()
    sidecar = MessageQueue.open(
        queue_name, max_messages=2, max_message_size=128, mode=0o620, group=str(group), write=False
    )

    def produce() -> bool:
        with MessageQueue.open(queue_name, read=False) as queue:
            return queue.send(b"from the group")

    with sidecar:
        assert in_child(produce, uid=other_uid(), gid=group)
        assert sidecar.receive() == b"from the group"
        with pytest.raises(QueuePermissionError, match=rf"receive from it: it is root:{group}, mode 0620"):
            in_child(lambda: MessageQueue.open(queue_name, write=False), uid=other_uid(), gid=group)
        with pytest.raises(QueuePermissionError, match="send to it"):
            in_child(produce, uid=other_uid())


@as_root
def test_another_user_may_not_remove_it(queue_name: str):
    def remove() -> None:
        with MessageQueue.open(queue_name, read=False) as queue:
            queue.unlink()

    with (
        MessageQueue.open(queue_name, max_messages=1, max_message_size=128, mode=0o622),
        pytest.raises(QueuePermissionError, match="may not remove it: it is root:root, mode 0622"),
    ):
        in_child(remove, uid=other_uid())


# --- limits ----------------------------------------------------------------------------------------------


def test_numbers_that_are_given_are_never_shrunk(queue_name: str):
    wanted_bytes = 1000 * (2**24 + 96)
    with pytest.raises(QueueLimitError, match=rf"LimitMSGQUEUE={wanted_bytes} in") as raised:
        MessageQueue.open(queue_name, max_messages=1000, max_message_size=2**24)
    assert "docker run:   --sysctl" in str(raised.value)
    assert raised.value.__cause__ is not None
    with pytest.raises(QueueMissingError):
        MessageQueue.open(queue_name, create=False)


@pytest.mark.parametrize(
    "numbers", [{"max_messages": 0}, {"max_message_size": 2**24 + 1}, {"max_messages": -1}]
)
def test_numbers_no_kernel_takes_are_refused(queue_name: str, numbers: dict[str, int]):
    with pytest.raises(
        QueueLimitError, match="at least 1 of 1 byte and at most 65,536 messages of 16,777,216 bytes"
    ):
        MessageQueue.open(queue_name, **numbers)


@as_root
def test_on_a_fresh_kernel_an_ordinary_user_gets_a_queue_and_one_warning(
    queue_name: str, caplog: pytest.LogCaptureFixture
):
    def create() -> tuple[int, int, list[str]]:
        caplog.clear()
        with MessageQueue.open(queue_name) as queue:
            return (
                queue.max_messages,
                queue.max_message_size,
                [record.getMessage() for record in caplog.records],
            )

    messages, size, warnings = in_own_namespace(create, uid=other_uid())
    assert (messages, size) == (10, 8192)
    assert len(warnings) == 1
    for said in (
        "got 10 messages of 8,192 bytes instead of 10,000 messages of 102,400 bytes",
        "sysctl -w fs.mqueue.msg_max=10000 fs.mqueue.msgsize_max=102400",
        "LimitMSGQUEUE=8199680000",
    ):
        assert said in warnings[0]


@as_root
@pytest.mark.parametrize(
    ("msg_max", "msgsize_max", "limit_bytes", "size"),
    [
        (10_000, 102_400, 819_200, (24, 8192)),
        (10_000, 8192, 819_200, (24, 8192)),
        (10, 102_400, 819_200, (10, 19_456)),
        (10, 8192, 60_000, (10, 5120)),
        (10, 8192, 41_920, (10, 4096)),
    ],
)
def test_the_kernel_grants_the_size_that_was_computed(
    queue_name: str, msg_max: int, msgsize_max: int, limit_bytes: int, size: tuple[int, int]
):
    def create() -> tuple[int, int]:
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (1000, limit_bytes))  # the soft limit has to be raised
        with MessageQueue.open(queue_name) as queue:
            return queue.max_messages, queue.max_message_size

    assert in_own_namespace(create, uid=other_uid(), msg_max=msg_max, msgsize_max=msgsize_max) == size


@as_root
def test_other_queues_of_the_user_make_it_smaller_and_then_impossible(queue_name: str):
    def create() -> list[int]:
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (130_000, 130_000))
        sizes = [MessageQueue.open(f"{queue_name}-{number}").max_message_size for number in range(2)]
        with pytest.raises(QueueLimitError, match="LimitMSGQUEUE"):
            MessageQueue.open(f"{queue_name}-2")
        with pytest.raises(QueueLimitError, match="other queues of this user hold too much of RLIMIT_MSGQUEUE"):
            MessageQueue.open(f"{queue_name}-2", max_messages=10, max_message_size=1024)
        return sizes

    assert in_own_namespace(create, uid=other_uid()) == [8192, 4096]


@as_root
def test_too_many_queues_are_told_from_too_large_ones(queue_name: str):
    def create() -> None:
        for number in range(2):
            MessageQueue.open(f"{queue_name}-{number}", max_messages=1, max_message_size=128)

    with pytest.raises(QueueLimitError, match=r"there are 1 queues already.*queues_max=2"):
        in_own_namespace(create, uid=other_uid(), queues_max=1)


def test_a_process_without_descriptors_is_told_from_one_without_queue_bytes(queue_name: str):
    def create() -> None:
        lowest_free = os.dup(0)
        os.close(lowest_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, lowest_free))
        MessageQueue.open(queue_name, max_messages=1, max_message_size=128)

    with pytest.raises(QueueLimitError, match="no file descriptors are left"):
        in_child(create)


@as_root
def test_without_proc_the_limits_of_a_fresh_kernel_are_taken(queue_name: str, tmp_path):
    def create() -> tuple[int, int]:
        os.chroot(tmp_path)
        with MessageQueue.open(queue_name) as queue:
            return queue.max_messages, queue.max_message_size

    assert in_own_namespace(create) == (10, 8192)


@pytest.mark.parametrize("errno_name", ["ENOSYS", "EPERM"])
def test_a_kernel_that_refuses_queues_is_said_to(queue_name: str, errno_name: str):
    def open_it() -> None:
        refuse_mq_open(getattr(errno, errno_name))
        MessageQueue.open(queue_name)

    with pytest.raises(QueueUnsupportedError, match="seccomp"):
        in_child(open_it)


@as_root
def test_four_queues_of_a_user_fit_into_a_tuned_kernel_that_has_room_for_one(queue_name: str):
    """The first must not take all of RLIMIT_MSGQUEUE, which they share."""

    def create() -> list[int]:
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (819_200, 819_200))
        queues = [MessageQueue.open(f"{queue_name}-{number}") for number in range(4)]
        return [queue.max_messages for queue in queues]

    tuned = {"msg_max": 10_000, "msgsize_max": 102_400}
    assert in_own_namespace(create, uid=other_uid(), **tuned) == [24] * 4


@as_root
def test_a_size_that_is_given_may_take_all_of_the_limit(queue_name: str):
    def create() -> int:
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (819_200, 819_200))
        return MessageQueue.open(queue_name, max_messages=98).max_message_size

    assert in_own_namespace(create, uid=other_uid(), msg_max=98) == 8192


@as_root
def test_a_queue_that_is_refused_for_others_names_them(queue_name: str):
    def create() -> str:
        ctypes.CDLL(None).prctl(4, 1)  # PR_SET_DUMPABLE: or /proc hides what this process has open
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (50_000, 50_000))
        with MessageQueue.open(f"{queue_name}-first"):
            with pytest.raises(QueueLimitError) as raised:
                MessageQueue.open(queue_name)
            return str(raised.value)

    assert (
        f"hold too much of RLIMIT_MSGQUEUE, which is 50,000 ({queue_name}-first is open in"
        in in_own_namespace(create, uid=other_uid())
    )
