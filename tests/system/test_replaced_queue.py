"""A queue that is dropped, resized or removed while programs use it: nothing is lost, nothing comes twice."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.forked import as_root, in_child, in_own_namespace, other_uid, starts_python_as_another
from support.paths import ROOT
from support.rigs import Run, killed_at_the_end
from support.sidecar_process import SidecarProcess
from support.waiting import wait_until

from eventpub.errors import EventQueueFullError, QueueLimitError, QueueMissingError
from eventpub.queue.event_queue import EventQueue
from eventpub.queue.holders import find_holders
from eventpub.queue.kernel_limits import QueueSize, need_bytes
from eventpub.queue.message_queue import MessageQueue, remove_queue
from eventpub.queue.removal import END_MARK, fill_up
from eventpub.queue.replacement import drop_queue, replace_queue
from eventpub.sidecar.spool import records

QUICK = {"collector.version": "2j", "shutdown.timeout": "0"}
SMALL = {
    "max_message_size": "128"
}  # removed queues count until all have closed them, and many are removed soon
NOWHERE = 9  # the discard port, where nothing listens: all that is received stays in the spool

PRODUCER = """
    import sys, time
    from eventpub import EventQueue
    from eventpub.errors import EventQueueFullError
    name, letter, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    with EventQueue(name, str, max_messages=10, max_message_size=128) as events:
        number, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                events.put(f'{{"who":"{letter}","n":{number}}}', timeout=0.01)
                number += 1
            except EventQueueFullError:
                pass
    print(number)
"""


@pytest.fixture
def run(tmp_path: Path, queue_name: str) -> Iterator[Run]:
    """Start a sidecar that delivers nothing, with these INI keys."""

    def make(**keys: str) -> SidecarProcess:
        return SidecarProcess(tmp_path, queue_name, NOWHERE, **QUICK, **keys)

    with killed_at_the_end(make) as start:
        yield start


def produce(name: str, seconds: float, users: dict[str, dict[str, object]]) -> dict[str, subprocess.Popen[str]]:
    """Start applications, each with a letter and as a user, that put numbered events as fast as they can."""
    command = [sys.executable, "-c", textwrap.dedent(PRODUCER), name]
    started = {
        letter: subprocess.Popen([*command, letter, str(seconds)], cwd=ROOT, stdout=-1, text=True, **user)
        for letter, user in users.items()
    }
    wait_until(lambda: len(find_holders(name)) > len(users), "they have opened the queue")
    return started


def accepted(producers: dict[str, subprocess.Popen[str]]) -> Counter[tuple[str, int]]:
    """Wait for the applications, and return which events they were told were enqueued."""
    counts = {letter: int(producer.communicate()[0]) for letter, producer in producers.items()}
    return Counter((letter, number) for letter, count in counts.items() for number in range(count))


def spooled(*sidecars: SidecarProcess) -> Counter[tuple[str, int]]:
    """Stop the sidecars and return what they have received."""
    for sidecar in sidecars:
        assert sidecar.stop() == 0, sidecar.log()
    found: Counter[tuple[str, int]] = Counter()
    for file in sidecars[0].batches():
        for event in map(json.loads, records.read_records(file.read_bytes()).events):
            found[event["who"], event["n"]] += 1
    return found


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "eventpub", "queue", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def unlink(name: str) -> None:
    with contextlib.suppress(QueueMissingError):  # nobody has made it anew yet
        remove_queue(name)


def drop(name: str) -> None:
    """Drop the queue at a moment when no event waits in it."""

    def is_dropped() -> bool:
        with contextlib.suppress(QueueMissingError), MessageQueue.open(name, create=False) as queue:
            return not queue.depth() and drop_queue(queue) == 0
        return False

    wait_until(is_dropped, "it is empty for once")


WAYS: dict[str, Callable[[str, int], object]] = {
    "unlinked": lambda name, _: unlink(name),
    "dropped": lambda name, _: drop(name),
    "resized": lambda name, time_: command("resize", name, "--max-messages", str(5 + time_)),
}


@pytest.mark.parametrize("way", WAYS)
def test_queue_replaced_under_load_loses_nothing(
    run: Callable[..., SidecarProcess], queue_name: str, way: str
) -> None:
    sidecar = run(**SMALL)
    producers = produce(queue_name, 1.5, {"A": {}, "B": {}, "C": {}})
    for number in range(4):
        WAYS[way](queue_name, number)
        time.sleep(0.1 * number)
    expected = accepted(producers)
    assert expected
    assert spooled(sidecar) == expected
    assert "creating it again" in sidecar.log()


def test_two_sidecars_lose_nothing_when_their_queue_is_replaced(
    run: Callable[..., SidecarProcess], queue_name: str
) -> None:
    sidecars = [run(**SMALL), run(**SMALL)]
    producers = produce(queue_name, 1.0, {"A": {}, "B": {}})
    for _ in range(4):
        time.sleep(0.2)
        unlink(queue_name)
    expected = accepted(producers)
    assert spooled(*sidecars) == expected


@starts_python_as_another
def test_queue_replaced_under_load_loses_nothing_of_applications_that_may_only_write(
    run: Callable[..., SidecarProcess], queue_name: str
) -> None:
    group = other_uid()
    sidecar = run(**{"queue.mode": "0620", "queue.group": str(group)}, **SMALL)
    users = {letter: {"user": other_uid(), "group": group, "extra_groups": []} for letter in "AB"}
    producers = produce(queue_name, 2.0, users)
    for number in range(4):
        assert command("resize", queue_name, "--max-messages", str(9 - number % 2)).returncode == 0
        time.sleep(0.1 * number)
        WAYS["dropped"](queue_name, 0)
    expected = accepted(producers)
    assert spooled(sidecar) == expected


def test_event_put_into_the_old_queue_at_the_last_moment_is_received(
    run: Callable[..., SidecarProcess], queue_name: str
) -> None:
    """A sender that was stopped before it sent, for longer than any look, is told that the queue is full."""
    sidecar = run()
    with MessageQueue.open(queue_name, read=False, create=False) as old:
        old.unlink()
        old.send(b'{"who":"X","n":0}')
        wait_until(lambda: not old.send(b'{"who":"X","n":1}') or None, "the old queue has no room any more")
        assert old.is_orphaned()
    found = spooled(sidecar)
    assert found["X", 0] == 1


def test_program_that_goes_on_sending_to_the_old_queue_is_named_and_its_events_are_taken(
    run: Callable[..., SidecarProcess], queue_name: str
) -> None:
    sidecar = run()
    sent = 0
    with MessageQueue.open(queue_name, read=False, create=False) as old:
        old.unlink()
        wait_until(lambda: "creating it again" in sidecar.log(), "the sidecar notices")
        until = time.monotonic() + 1
        while time.monotonic() < until:
            sent += old.send(b'{"who":"X","n":%d}' % sent)
    assert spooled(sidecar) == Counter(("X", number) for number in range(sent))


def test_queue_removed_while_the_spool_is_full_and_the_sidecar_stops_loses_nothing(
    run: Callable[..., SidecarProcess], queue_name: str
) -> None:
    sidecar = run(**{"spool.max_size": "4 MiB"})
    with EventQueue(queue_name, bytes) as events:
        with contextlib.suppress(EventQueueFullError):
            for number in range(3000):
                events.put(b'{"who":"X","n":%d,"pad":"%s"}' % (number, b"x" * 8000), timeout=0.5)
        assert events.counts.full
    remove_queue(queue_name)
    assert sidecar.stop() == 0
    with MessageQueue.open(queue_name, create=False) as queue:
        kept = Counter((event["who"], event["n"]) for event in map(json.loads, take_all(queue)))
    assert spooled(sidecar) + kept == Counter(("X", number) for number in range(events.counts.accepted))


# --- limits ----------------------------------------------------------------------------------------------

SIZE = QueueSize(10, 8192)


def with_room_for(queues: float, test: Callable[[Path], None]) -> None:
    """Run a test as a user of its own, who may have so many queues, in a namespace of its own."""
    uid = other_uid()

    def limited() -> None:
        ctypes.CDLL(None).prctl(
            4, 1
        )  # PR_SET_DUMPABLE: or /proc hides from the user what this process has open
        limit = int(queues * need_bytes(SIZE))
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (limit, limit))
        test(Path(folder))

    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, uid, uid)
        in_own_namespace(limited, uid=uid)


@starts_python_as_another
def test_dropped_queue_that_applications_keep_from_being_as_large_again_is_smaller_for_a_while(
    queue_name: str,
) -> None:
    """The removed one counts as long as an idle application has it open; then the new one gets its size."""

    def live_through_a_drop(folder: Path) -> None:
        sidecar = SidecarProcess(folder, queue_name, NOWHERE, **QUICK)
        try:
            application = MessageQueue.open(queue_name, create=False)
            remove_queue(queue_name)
            wait_until(lambda: "creating it again" in sidecar.log(), "the sidecar goes on")
            with MessageQueue.open(queue_name, create=False) as small:
                assert need_bytes(small.size) < need_bytes(SIZE)
            assert "which was removed, is still open in" in sidecar.log()
            application.close()
            wait_until(lambda: "has the configured size now" in sidecar.log(), "it grows")
            wait_until(lambda: sidecar.log().count("creating it again") == 2, "the sidecar has followed")
            with MessageQueue.open(queue_name, create=False) as again:
                assert again.size == SIZE
            assert sidecar.stop() == 0
            assert "Traceback" not in sidecar.log()
        finally:
            sidecar.kill()

    with_room_for(1.6, live_through_a_drop)


@starts_python_as_another
def test_queue_that_cannot_be_made_anew_at_all_is_tried_again_until_it_can(
    queue_name: str,
) -> None:
    def live_through_a_drop(folder: Path) -> None:
        sidecar = SidecarProcess(folder, queue_name, NOWHERE, **QUICK)
        try:
            with MessageQueue.open(queue_name, create=False) as application:
                application.send(b'{"who":"X","n":0}')
                remove_queue(queue_name)
                wait_until(lambda: "the queue cannot be created again" in sidecar.log(), "it says so")
                time.sleep(0.6)  # two more attempts
            assert sidecar.log().count("which was removed, is still open in") == 1
            with wait_until(lambda: reopened(queue_name), "the queue is there again") as again:
                assert again.send(b'{"who":"X","n":1}')
            assert sidecar.process.poll() is None
            assert spooled(sidecar) == Counter([("X", 0), ("X", 1)])
            assert "Traceback" not in sidecar.log()
        finally:
            sidecar.kill()

    with_room_for(1.2, live_through_a_drop)


def reopened(name: str) -> MessageQueue | None:
    try:
        return MessageQueue.open(name, create=False)
    except QueueMissingError:
        return None


@starts_python_as_another
def test_start_is_not_refused_for_a_queue_that_others_hold(queue_name: str) -> None:
    def start(folder: Path) -> None:
        with MessageQueue.open(f"{queue_name}-first", **SIZE._asdict()):
            with pytest.raises(QueueLimitError, match=f"{queue_name}-first is open in .*{os.getpid()}"):
                MessageQueue.open(queue_name, **SIZE._asdict())
            sidecar = SidecarProcess(folder, queue_name, NOWHERE, **QUICK)
            assert f"{queue_name}-first is open in" in sidecar.log()
            assert sidecar.stop() == 0

    with_room_for(1.6, start)


# --- the command and what it is made of ------------------------------------------------------------------


@pytest.fixture
def queue(queue_name: str) -> Iterator[MessageQueue]:
    with MessageQueue.open(queue_name, max_messages=5, max_message_size=512, mode=0o600) as opened:
        yield opened


def take_all(queue: MessageQueue) -> list[bytes]:
    return list(iter(queue.receive, None))


def test_resized_queue_has_the_events_and_the_rights_of_the_old_one(queue: MessageQueue) -> None:
    os.fchmod(queue.fd, 0o640)
    for number in range(5):
        queue.send(b"%d" % number)
    done = command("resize", queue.name, "--max-messages", "8", "--max-message-size", "1 KiB")
    assert (done.returncode, done.stderr) == (0, "")
    assert "resized from 5 messages of 512 bytes to 8 messages of 1,024 bytes" in done.stdout
    assert "mode 0640" in done.stdout
    with MessageQueue.open(queue.name, create=False) as new:
        assert new.size == (8, 1024)
        assert take_all(new) == [b"0", b"1", b"2", b"3", b"4"]
        assert new.status().st_mode & 0o777 == 0o640
    assert not queue.send(b"late")


def test_size_that_it_has_already_replaces_nothing(queue: MessageQueue) -> None:
    done = command("resize", queue.name, "--max-messages", "5")
    assert (done.returncode, done.stdout) == (0, f"{queue.name}: holds 5 messages of 512 bytes already\n")
    assert not queue.is_orphaned()


def test_size_that_the_kernel_refuses_leaves_all_as_it_was(queue: MessageQueue) -> None:
    queue.send(b"x")
    done = command("resize", queue.name, "--max-messages", "65536", "--max-message-size", "16 MiB")
    if os.geteuid():
        assert done.returncode == 69
        assert f"queue '{queue.name}': the kernel refuses" in done.stderr
        assert not queue.is_orphaned()
        assert queue.receive() == b"x"


def test_no_size_is_a_wrong_command_line(queue: MessageQueue) -> None:
    assert command("resize", queue.name).returncode == 64


def test_resize_waits_for_room_and_for_readers_of_what_does_not_fit(queue: MessageQueue) -> None:
    for event in (b"1", b"2", b"3", b"x" * 200):
        queue.send(event)
    received: list[bytes] = []
    with replace_queue(queue.name, QueueSize(2, 100)) as replacement:
        assert not replacement.move_messages()
        assert replacement.left == 2
        received += take_all(replacement.new)
        assert not replacement.move_messages()
        received += take_all(replacement.new)
        assert queue.receive() == b"x" * 200
        assert replacement.move_messages()
    assert received == [b"1", b"2", b"3"]


def test_process_that_makes_the_queue_first_is_not_in_the_way(queue: MessageQueue) -> None:
    """As a sidecar does that looks between the removal and the creation."""
    done = threading.Event()

    def make() -> None:
        while not done.is_set():
            MessageQueue.open(queue.name, max_messages=5, max_message_size=512).close()

    maker = threading.Thread(target=make)
    maker.start()
    try:
        for number in range(30):
            with replace_queue(queue.name, QueueSize(3 + number % 3, 512)) as replacement:
                assert replacement.new.size == (3 + number % 3, 512)
    finally:
        done.set()
        maker.join()


@as_root
def test_root_resizes_the_queue_of_another_user_on_his_account(queue_name: str) -> None:
    uid = other_uid()

    def resize() -> tuple[int, int]:
        in_child(lambda: MessageQueue.open(queue_name, **SIZE._asdict()).close(), uid=uid)
        with replace_queue(queue_name, QueueSize(9, 8192)) as replacement:
            assert os.getuid() == 0
            return replacement.new.status().st_uid, count_room(uid)

    owner, room = in_own_namespace(resize)
    assert owner == uid
    assert room < 819_200 // need_bytes(QueueSize(1, 8192)), "it counts as the owner's"


def count_room(uid: int) -> int:
    """Return how many messages of 8,192 bytes a user may still have queues for."""

    def fill() -> int:
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (819_200, 819_200))
        with contextlib.suppress(QueueLimitError):
            for number in range(99):
                MessageQueue.open(f"room-{number}", max_messages=1, max_message_size=8192)
            return 99
        return number

    return in_child(fill, uid=uid)


def test_event_that_comes_while_a_queue_is_dropped_is_kept(queue: MessageQueue) -> None:
    queue.send(b"just before")  # after drop has looked
    with MessageQueue.open(queue.name, create=False) as opened:
        assert drop_queue(opened) == 1
    with MessageQueue.open(queue.name, create=False) as again:
        assert (again.size, take_all(again)) == (queue.size, [b"just before"])
        assert drop_queue(again) == 0
    with pytest.raises(QueueMissingError):
        MessageQueue.open(queue.name, create=False)


def test_queue_is_filled_up_only_where_nothing_came_between(queue: MessageQueue) -> None:
    queue.send(b"between")
    assert not fill_up(queue)
    assert take_all(queue) == [b"between", *[END_MARK] * 4]
    assert fill_up(queue)
    assert take_all(queue) == [END_MARK] * 5
