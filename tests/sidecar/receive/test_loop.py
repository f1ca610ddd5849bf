"""Receiving, in C and in Python: one set of promises for both."""

from __future__ import annotations

import faulthandler
import importlib.machinery
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import posix_ipc
import pytest
from support.native import built
from support.waiting import wait_until

from eventpub.queue.message_queue import MessageQueue
from eventpub.queue.removal import END_MARK
from eventpub.sidecar import native
from eventpub.sidecar.receive.loop import Ended, Loop, compiled_loop, plan_gathering
from eventpub.sidecar.receive.loop_python import PythonLoop
from eventpub.sidecar.spool import records
from eventpub.sidecar.spool.batch import OpenBatch
from eventpub.sidecar.spool.disk import Disk
from eventpub.wire import CONTAINER_OVERHEAD

ID = "00112233445566778899aabbccddeeff"


@pytest.fixture(params=["compiled", "python"])
def loop(request: pytest.FixtureRequest) -> Loop:
    return PythonLoop() if request.param == "python" else built(compiled_loop())


@pytest.fixture
def queue(queue_name: str) -> Iterator[MessageQueue]:
    with MessageQueue.open(queue_name, max_messages=10, max_message_size=1024) as opened:
        yield opened


@pytest.fixture
def batch(queue: MessageQueue, tmp_path: Path) -> Iterator[OpenBatch]:
    made = OpenBatch(tmp_path, 1, Disk(), body_limit_bytes=8000, message_size_bytes=1024)
    made.state.queue_fd = queue.fd
    made.state.wake_fd = os.eventfd(0, os.EFD_NONBLOCK)
    made.state.max_age_ns = 30 * 10**9
    yield made
    os.close(made.state.wake_fd)


def events_of(batch: OpenBatch) -> list[bytes]:
    sealed = batch.seal(fsync=False)
    return records.read_records(sealed.path.read_bytes()).events if sealed else []


def test_burst_takes_all_there_is_in_order(queue: MessageQueue, batch: OpenBatch, loop: Loop) -> None:
    sent = [b'{"n":%d}' % n for n in range(10)]
    for message in sent:
        queue.send(message)
    assert loop.receive(batch.state, batch.memory) is Ended.EMPTY
    assert queue.depth() == 0
    assert events_of(batch) == sent


def test_full_batch_never_exceeds_its_limit(queue: MessageQueue, batch: OpenBatch, loop: Loop) -> None:
    message = b'{"pad":"' + b"x" * 900 + b'"}'
    ended = Ended.EMPTY
    sent = 0
    while ended is Ended.EMPTY:
        sent += queue.send(message)
        ended = loop.receive(batch.state, batch.memory)
    assert ended is Ended.FULL
    assert batch.state.body <= batch.state.body_limit
    assert batch.state.body + queue.max_message_size + 1 > batch.state.body_limit
    assert len(events_of(batch)) == sent


@pytest.mark.parametrize("body_limit", [1, 1024, CONTAINER_OVERHEAD + 1024])
def test_a_batch_takes_one_message_whatever_its_size(
    queue: MessageQueue, tmp_path: Path, loop: Loop, body_limit: int
) -> None:
    """A limit that is as low as one message, or below it, is no reason to receive nothing for ever."""
    message = b'{"pad":"' + b"x" * 1014 + b'"}'
    assert len(message) == 1024
    queue.send(message)
    queue.send(message)
    made = OpenBatch(tmp_path, 1, Disk(), body_limit_bytes=body_limit, message_size_bytes=1024)
    made.state.queue_fd = queue.fd
    assert loop.receive(made.state, made.memory) is Ended.FULL
    assert queue.depth() == 1
    assert events_of(made) == [message]


@pytest.mark.parametrize("left", [0, 100, 4096])
def test_a_file_that_was_cut_ends_the_burst_and_no_message_is_taken(
    queue: MessageQueue, batch: OpenBatch, loop: Loop, left: int
) -> None:
    """A page that is gone raises SIGBUS where it is touched: that must not be the end of the process."""
    sent = [b'{"pad":"%s"}' % (b"x" * 900) for _ in range(6)]
    for message in sent:
        queue.send(message)
    loop.receive(batch.state, batch.memory)
    os.truncate(batch.path, left)
    queue.send(b"{}")
    assert loop.receive(batch.state, batch.memory) is Ended.CUT
    assert queue.depth() == 1
    sealed = batch.seal(fsync=False)
    assert sealed is not None
    assert sealed.events == 6
    whole = records.read_records(sealed.path.read_bytes()).events
    assert whole == sent[: left // 928]


def test_a_bus_error_elsewhere_still_ends_the_process(batch: OpenBatch, loop: Loop) -> None:
    """What the loop handles is its own mapping, and only while it receives."""
    loop.receive(batch.state, batch.memory)
    os.truncate(batch.path, 0)
    child = os.fork()
    if child == 0:
        faulthandler.disable()  # pytest's own would fill the output
        batch.memory[0] = 1
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGBUS


@pytest.mark.parametrize("left", [50_000, 0])
def test_a_file_whose_space_was_not_reserved_is_refused(tmp_path: Path, left: int) -> None:
    """As file systems that copy on write do when they are full: they say that they reserved it."""

    class EmptyPromises(Disk):
        def reserve(self, fd: int, size_bytes: int) -> None:  # noqa: ARG002
            os.ftruncate(fd, left)

    with pytest.raises(OSError, match="the space that was reserved for a batch file is not there"):
        OpenBatch(tmp_path, 1, EmptyPromises(), body_limit_bytes=100_000, message_size_bytes=1024)
    assert list(tmp_path.iterdir()) == []


def test_tiny_messages_never_write_beyond_the_file(queue: MessageQueue, batch: OpenBatch, loop: Loop) -> None:
    while loop.receive(batch.state, batch.memory) is Ended.EMPTY:
        queue.send(b"7")
    assert batch.state.offset <= batch.state.size
    assert set(events_of(batch)) == {b"7"}


def test_empty_message_is_a_record_too(queue: MessageQueue, batch: OpenBatch, loop: Loop) -> None:
    for message in (b"{}", b"", b"{}"):
        queue.send(message)
    loop.receive(batch.state, batch.memory)
    assert events_of(batch) == [b"{}", b"", b"{}"]


def test_end_mark_of_a_removed_queue_ends_a_burst_that_waits_and_is_no_event(
    queue: MessageQueue, batch: OpenBatch, loop: Loop
) -> None:
    batch.state.wait = 1
    for message in (b"{}", END_MARK, b"[]"):
        queue.send(message)
    queue.unlink()
    assert loop.receive(batch.state, batch.memory) is Ended.REMOVED
    assert events_of(batch) == [b"{}", b"[]"]


def test_burst_that_does_not_wait_takes_what_is_between_end_marks(
    queue: MessageQueue, batch: OpenBatch, loop: Loop
) -> None:
    for message in (END_MARK, b"{}", END_MARK, END_MARK, b"[]", END_MARK):
        queue.send(message)
    queue.unlink()
    assert loop.receive(batch.state, batch.memory) is Ended.EMPTY
    assert events_of(batch) == [b"{}", b"[]"]


def test_end_mark_is_a_message_like_any_other_where_the_queue_is_not_removed(
    queue: MessageQueue, batch: OpenBatch, loop: Loop
) -> None:
    queue.send(END_MARK)
    assert loop.receive(batch.state, batch.memory) is Ended.EMPTY
    assert events_of(batch) == [END_MARK]


def test_waiting_burst_ends_when_the_first_event_has_aged(
    queue: MessageQueue, batch: OpenBatch, loop: Loop
) -> None:
    batch.state.wait = 1
    batch.state.max_age_ns = 50 * 10**6
    queue.send(b"{}")
    started = time.monotonic()
    assert loop.receive(batch.state, batch.memory) is Ended.AGED
    assert time.monotonic() - started >= 0.05


def test_idle_burst_is_woken(batch: OpenBatch, loop: Loop) -> None:
    batch.state.wait = 1
    ended: list[Ended] = []
    thread = threading.Thread(target=lambda: ended.append(loop.receive(batch.state, batch.memory)))
    thread.start()
    os.eventfd_write(batch.state.wake_fd, 1)
    thread.join()
    assert ended == [Ended.WOKEN]


def test_busy_burst_is_woken(queue: MessageQueue, batch: OpenBatch, loop: Loop) -> None:
    batch.state.wait = 1
    ended: list[Ended] = []
    thread = threading.Thread(target=lambda: ended.append(loop.receive(batch.state, batch.memory)))
    thread.start()
    queue.send(b"{}")
    wait_until(lambda: batch.state.events == 1, "the message is received")
    os.eventfd_write(batch.state.wake_fd, 1)
    thread.join()
    assert ended == [Ended.WOKEN]
    assert events_of(batch) == [b"{}"]


def test_busy_queue_is_left_alone_until_messages_have_gathered(
    queue: MessageQueue, batch: OpenBatch, loop: Loop
) -> None:
    batch.state.wait, batch.state.gather, batch.state.max_pause_ns = 1, 5, 60 * 10**9
    thread = threading.Thread(target=loop.receive, args=(batch.state, batch.memory))
    queue.send(b"{}")
    thread.start()
    wait_until(lambda: queue.depth() == 0, "the first is taken")
    for _ in range(3):
        queue.send(b"{}")
    os.eventfd_write(batch.state.wake_fd, 1)
    thread.join()
    assert (batch.state.events, queue.depth()) == (1, 3)


def test_the_faster_a_queue_fills_the_sooner_it_is_emptied(
    queue: MessageQueue, batch: OpenBatch, loop: Loop
) -> None:
    """The first pause is half of the longest; five messages in it, where one shall gather, shorten the next."""
    longest_seconds = 1.6
    batch.state.wait, batch.state.gather, batch.state.max_pause_ns = 1, 1, int(longest_seconds * 1e9)
    thread = threading.Thread(target=loop.receive, args=(batch.state, batch.memory))
    queue.send(b"{}")
    thread.start()
    wait_until(lambda: queue.depth() == 0, "the first is taken")
    for _ in range(5):
        queue.send(b"{}")
    wait_until(lambda: queue.depth() == 0, "all five are taken")
    queue.send(b"{}")
    started = time.monotonic()
    wait_until(lambda: queue.depth() == 0, "the last is taken")
    waited = time.monotonic() - started
    os.eventfd_write(batch.state.wake_fd, 1)
    thread.join()
    assert waited < longest_seconds / 2, "it waited as if nothing was known of the rate"


@pytest.mark.parametrize(
    ("max_messages", "expected"),
    [(1, (0, 0)), (10, (0, 0)), (12, (3, 120_000)), (700, (175, 7_000_000)), (10_000, (2500, 10_000_000))],
)
def test_a_short_queue_is_never_left_to_fill_and_a_long_one_for_ten_milliseconds_at_most(
    max_messages, expected
):
    assert plan_gathering(max_messages) == expected


def test_extension_of_another_version_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.copy(posix_ipc.__file__, tmp_path / f"_loops{importlib.machinery.EXTENSION_SUFFIXES[0]}")
    assert native.load_library(tmp_path) is None
    assert "reinstall eventpub-sidecar" in caplog.text


def test_loops_that_are_missing_are_missed_with_the_reason(tmp_path: Path) -> None:
    folder = tmp_path / "sidecar" / "native"
    folder.mkdir(parents=True)
    assert "not built: install a C compiler" in native.find_loops(folder).reason
    (tmp_path / "pyproject.toml").touch()
    assert "a source tree: run `eventpub sidecar` as installed" in native.find_loops(folder).reason
    shutil.copy(posix_ipc.__file__, folder / f"_loops{importlib.machinery.EXTENSION_SUFFIXES[0]}")
    assert "is of another version and not used" in native.find_loops(folder).reason


def test_queue_that_cannot_be_read_is_an_error_and_keeps_what_came_before(
    queue: MessageQueue, batch: OpenBatch, loop: Loop
) -> None:
    queue.send(b"{}")
    loop.receive(batch.state, batch.memory)
    batch.state.queue_fd = batch.state.wake_fd  # a descriptor, but no queue
    with pytest.raises(OSError, match="Bad file descriptor"):
        loop.receive(batch.state, batch.memory)
    assert events_of(batch) == [b"{}"]


def test_batch_that_stayed_empty_leaves_no_file(batch: OpenBatch, tmp_path: Path) -> None:
    assert batch.seal(fsync=False) is None
    assert list(tmp_path.iterdir()) == []
