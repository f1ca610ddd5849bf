"""A sidecar and a collector that get no more files, threads or memory: they wait, or end, and lose nothing."""

from __future__ import annotations

import http.client
import itertools
import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.collector_process import CollectorProcess
from support.rigs import Run, killed_at_the_end, numbered, put, stored, wait_stored
from support.sidecar_process import SECRET, SidecarProcess
from support.waiting import wait_until

from eventpub.queue.message_queue import MessageQueue

FEW = 16  # Python starts with them, and a sidecar does not
ENOUGH = 1024
TRY_SECONDS = 0.05  # how long a limit holds: a batch is made, received into, sealed and sent in 30 ms


def allow_descriptors(pid: int, count: int) -> None:
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (count, hard))


def list_descriptors(pid: int) -> set[int]:
    return {int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()}


@pytest.fixture
def start_below(tmp_path: Path, collector: CollectorProcess, queue_name: str) -> Iterator[Run]:
    """Start a sidecar as users do, by these words of a shell."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET)

    def make(words: str, **keys: str) -> SidecarProcess:
        return SidecarProcess(
            tmp_path, queue_name, collector.port, starter=["sh", "-c", words, "sh"],
            **{
                "key.secret": "", "key.secret_file": str(secret), "collector.version": "2j",
                "batch.max_age": "10 ms", **keys,
            },
        )  # fmt: skip

    with killed_at_the_end(make) as start:
        yield start


def test_a_sidecar_that_may_open_no_more_files_says_so_and_waits_at_the_start_and_later(
    start_below: Run, collector: CollectorProcess, queue_name: str
) -> None:
    starved = start_below(f'ulimit -Sn {FEW}; exec "$@"')
    pid = starved.process.pid
    wait_until(lambda: "cannot start yet: " in starved.log(), "it waits")
    assert f"this process may have {FEW} files and connections open; raise LimitNOFILE=" in starved.log()
    allow_descriptors(pid, ENOUGH)
    wait_until(lambda: "started queue=" in starved.log(), "it starts")

    queue = MessageQueue.open(queue_name)
    sent = 0

    def send_one() -> None:
        nonlocal sent
        sent += all(queue.send(message) for message in numbered(1, sent))

    highest = max(list_descriptors(pid))
    for limit in range(highest + 5, 4, -1):  # each makes something else fail
        allow_descriptors(pid, limit)
        send_one()
        time.sleep(TRY_SECONDS)
    wait_until(lambda: send_one() or "a batch file cannot be used" in starved.log(), "the last limit strikes")
    allow_descriptors(pid, ENOUGH)
    wait_stored(collector, range(sent))
    assert starved.stop() == 0
    assert stored(collector) == list(range(sent))
    assert starved.ledger()["unaccounted"] == 0
    assert "Traceback" not in starved.log()
    queue.unlink()
    queue.close()


def test_a_sidecar_that_may_start_no_more_threads_goes_on(
    start_below: Run, collector: CollectorProcess, queue: MessageQueue
) -> None:
    sidecar = start_below('exec "$@"')
    wait_until(lambda: "started queue=" in sidecar.log(), "it starts")
    _, hard = resource.prlimit(sidecar.process.pid, resource.RLIMIT_NPROC)
    resource.prlimit(sidecar.process.pid, resource.RLIMIT_NPROC, (1, hard))  # root may, all the same
    put(queue, numbered(30))
    wait_stored(collector, range(30))
    assert sidecar.stop() == 0
    assert "Traceback" not in sidecar.log()


def test_a_sidecar_that_gets_no_more_memory_goes_on_or_ends_and_the_next_one_delivers_all(
    start_below: Run, collector: CollectorProcess, queue: MessageQueue
) -> None:
    sidecar = start_below('exec "$@"', watchdog_timeout="1 s")
    wait_until(lambda: "started queue=" in sidecar.log(), "it starts")
    _, hard = resource.prlimit(sidecar.process.pid, resource.RLIMIT_AS)
    resource.prlimit(sidecar.process.pid, resource.RLIMIT_AS, (1, hard))
    assert all(queue.send(message) for message in numbered(3))

    def is_over() -> bool:
        return sidecar.process.poll() is not None or len(collector.events()) == 3

    wait_until(lambda: is_over() or "receiving is paused: " in sidecar.log(), "it ends, waits, or goes on")
    if sidecar.process.poll() is None:
        resource.prlimit(sidecar.process.pid, resource.RLIMIT_AS, (hard, hard))
    wait_until(is_over, "it does not hang")
    if sidecar.process.poll() is not None:
        assert sidecar.process.poll() != 0  # a library may have aborted it, too
        sidecar.start()
    wait_stored(collector, range(3))


def test_a_sidecar_without_standard_input_and_output_has_no_file_of_its_own_in_their_place(
    start_below: Run,
) -> None:
    sidecar = start_below('exec "$@" <&- >&-')
    wait_until(lambda: "started queue=" in sidecar.log(), "it starts")
    descriptors = Path(f"/proc/{sidecar.process.pid}/fd")
    assert [str((descriptors / number).readlink()) for number in "01"] == [os.devnull, os.devnull]
    assert sidecar.stop() == 0


def test_a_collector_that_may_accept_no_more_connections_says_so_and_answers_once_it_may(
    collector: CollectorProcess,
) -> None:
    assert collector.process is not None
    held = list_descriptors(collector.process.pid)
    allow_descriptors(collector.process.pid, next(number for number in itertools.count() if number not in held))
    waiting = [http.client.HTTPConnection("127.0.0.1", collector.port, timeout=20) for _ in range(3)]
    for connection in waiting:
        connection.request("GET", "/livez")
    wait_until(lambda: "Too many open files" in collector.log(), "it says why nobody is answered")
    allow_descriptors(collector.process.pid, ENOUGH)
    assert [connection.getresponse().status for connection in waiting] == [200] * 3
    for connection in waiting:
        connection.close()
    assert "raise LimitNOFILE=" in collector.log()
    assert "Traceback" not in collector.log()
