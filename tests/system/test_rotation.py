"""Stopping, reloading and changing keys while events come in: nothing is lost, nothing is sent unsigned."""

from __future__ import annotations

import base64
import contextlib
import itertools
import os
import signal
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.collector_process import CollectorProcess
from support.forked import as_root
from support.line import Line
from support.mounts import seeing
from support.nursery import Nursery, NurserySidecar
from support.rigs import Run, check_books, requests_since, wait_stored
from support.waiting import DEADLINE_SECONDS, wait_until

from eventpub.queue.message_queue import MessageQueue

if TYPE_CHECKING:
    from typing_extensions import Self

OLD, NEW = b"hunter2", b"correct horse battery staple"


@pytest.fixture
def collector_keys() -> dict[str, list[bytes]]:
    """The old key and the new one, as a collector has them while those of its senders are changed."""
    return {"test": [OLD, NEW]}


class Load:
    """Events put one after the other in the background, until the end of the `with`."""

    def __init__(self, queue: MessageQueue) -> None:
        self.count = 0
        self._queue = queue
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def more(self, events: int = 200) -> None:
        """Wait until so many more have been put."""
        goal = self.count + events
        wait_until(lambda: self.count >= goal, "events are put")

    def _run(self) -> None:
        for n in itertools.count():
            event = b'{"queue":"%s","n":%d}' % (self._queue.name.encode(), n)
            while not self._queue.send(event):
                if self._is_over.wait(0.001):
                    return
            self.count += 1
            if self._is_over.wait(0.0005):
                return


# --- stopping


@pytest.mark.parametrize("outage", ["refused", "reset", "silent", "black_hole", "portal"])
def test_stop_during_an_outage_is_in_time_and_keeps_everything(
    outage: str, run: Run, queue: MessageQueue, line: Line, collector: CollectorProcess
) -> None:
    line.break_(outage)
    sidecar = run(line.port, shutdown_timeout="300 ms", collector_timeout="60 s")  # far longer than it may take
    with Load(queue) as load:
        load.more(50)
    wait_until(lambda: queue.depth() == 0, "all is received")
    started = time.monotonic()
    assert sidecar.stop() == 0
    assert time.monotonic() - started < DEADLINE_SECONDS  # of 60 s that an attempt may take
    check_books(sidecar, received=load.count, spooled=load.count, delivered=0)
    line.mend()
    sidecar.start()
    wait_stored(collector, range(load.count))
    assert sidecar.stop() == 0
    check_books(sidecar, recovered=load.count, delivered=load.count, spooled=0)


def test_stop_while_the_collector_hangs_is_in_time(
    run: Run, queue: MessageQueue, collector: CollectorProcess
) -> None:
    collector.set_faults([{}] * 10 + [{"hang": True, "times": "forever"}])
    sidecar = run(shutdown_timeout="300 ms", batch_max_age="10 ms")
    with Load(queue) as load:
        load.more(400)
    started = time.monotonic()
    assert sidecar.stop() == 0
    assert time.monotonic() - started < DEADLINE_SECONDS
    ledger = sidecar.ledger()
    assert ledger["spooled"] > 0
    assert ledger["unaccounted"] == 0
    collector.set_faults([])
    sidecar.start()
    wait_stored(collector, range(load.count))


@as_root
def test_stop_while_names_are_looked_up_in_vain_is_in_time(
    queue: MessageQueue, tmp_path: Path, collector: CollectorProcess
) -> None:
    """A name server that never answers: the collector is looked up, and statsd; each would take 10 minutes."""
    address = f"127.53.{os.getpid() // 250 % 250}.{1 + os.getpid() % 250}"
    (tmp_path / "resolv.conf").write_text(f"nameserver {address}\noptions timeout:120 attempts:5\n")
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent,
        contextlib.closing(
            Nursery(seeing(f"mount --bind '{tmp_path / 'resolv.conf'}' /etc/resolv.conf"))
        ) as nursery,
    ):
        silent.bind((address, 53))
        silent.settimeout(DEADLINE_SECONDS)
        keys = {"collector_hostname": "collector.example.com", "metrics_endpoint": "statsd.example.com:8125"}
        sidecar = NurserySidecar(
            nursery, tmp_path, queue.name.removeprefix("/events-"), 1, collector_version="2j",
            shutdown_timeout="300 ms", collector_timeout="60 s", **keys,
        )  # fmt: skip
        with Load(queue) as load:
            load.more(20)
        asked = b""
        while not (b"collector" in asked and b"statsd" in asked):
            asked += silent.recv(512)
        started = time.monotonic()
        assert sidecar.stop() == 0
        assert time.monotonic() - started < DEADLINE_SECONDS
        check_books(sidecar, received=load.count, spooled=load.count, delivered=0)
        sidecar.start()
        assert sidecar.stop() == 0, "before it has looked for statsd at all"
        check_books(sidecar, recovered=load.count, spooled=load.count)
        sidecar.configure(collector_hostname=collector.hostname, metrics_endpoint="")
        sidecar.start()
        wait_stored(collector, range(load.count))
        assert sidecar.stop() == 0


# --- reloading


def test_reload_under_load_changes_settings_live_and_loses_nothing(
    run: Run, queue: MessageQueue, line: Line, collector: CollectorProcess
) -> None:
    since = time.time()
    sidecar = run(batch_max_age="20 ms", compression="gzip")
    with Load(queue) as load:
        load.more()
        for keys in (
            {"batch_max_age": "200 ms", "compression": "none"},
            {"collector_hostname": f"127.0.0.1:{line.port}"},
            {"collector_hostname": "127.0.0.1:1", "retry_min": "10 ms"},  # nobody is there
            {"collector_hostname": f"localhost:{line.port}", "collector_timeout": "5 s"},
            {"publisher_concurrency": "1", "batch_max_size": "128 KiB"},
            {"publisher_concurrency": "8", "retry_max": "1 s"},
        ):
            reloads = sidecar.log().count("reloaded")
            sidecar.configure(**keys)
            sidecar.signal(signal.SIGHUP)
            wait_until(lambda n=reloads: sidecar.log().count("reloaded") > n, "the file is read again")
            load.more()
    wait_stored(collector, range(load.count))
    assert sidecar.stop() == 0
    check_books(sidecar, received=load.count, delivered=load.count, spooled=0)
    assert "kind=refused" in sidecar.log()
    requests = requests_since(collector, since)
    encodings = [request["headers"].get("Content-Encoding") for request in requests]
    assert encodings == sorted(encodings, key=lambda encoding: encoding is None)
    assert {request["headers"]["Host"] for request in requests} == {
        f"127.0.0.1:{collector.port}", f"127.0.0.1:{line.port}", f"localhost:{line.port}",
    }  # fmt: skip


def test_reload_changes_how_many_attempts_are_in_flight(
    run: Run, queue: MessageQueue, collector: CollectorProcess
) -> None:
    """Told by how many requests come within half the time of an answer; the other half is for busy machines."""
    collector.set_faults([{"delay": 0.3, "times": "forever"}])
    sidecar = run(publisher_concurrency="1", batch_max_age="10 ms")
    started = time.time()
    with Load(queue) as load:
        load.more(300)
        alone_until = time.time()
        sidecar.configure(publisher_concurrency="6")
        sidecar.signal(signal.SIGHUP)

        def together(since: float, until: float) -> int:
            times = [request["at"] for request in collector.requests() if since <= request["at"] <= until]
            return max((sum(at <= other < at + 0.15 for other in times) for at in times), default=0)

        wait_until(lambda: together(alone_until, time.time()) >= 5, "attempts are in flight together")
        assert together(started, alone_until) == 1
    collector.set_faults([])
    wait_stored(collector, range(load.count))


# --- keys


def encoded(secret: bytes) -> str:
    return base64.b64encode(secret).decode() + "\n"


def replace_atomically(file: Path, content: str) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_text(content)
    fresh.rename(file)


def test_key_replaced_under_load_is_used_without_a_reload_and_loses_nothing(
    run: Run, queue: MessageQueue, tmp_path: Path, collector: CollectorProcess
) -> None:
    key = tmp_path / "key"
    key.write_text(encoded(OLD))
    since = time.time()
    sidecar = run(key_secret="", key_secret_file=str(key), batch_max_age="10 ms")
    with Load(queue) as load:
        for secret in (NEW, OLD, NEW):
            load.more()
            replace_atomically(key, encoded(secret))
        load.more()
    wait_stored(collector, range(load.count))
    assert sidecar.stop() == 0
    check_books(sidecar, received=load.count, delivered=load.count)
    requests = requests_since(collector, since)
    assert {request["status"] for request in requests} == {200}
    assert all(request["headers"]["X-Signature"] for request in requests)


@pytest.mark.parametrize("way", ["empty", "not base64", "missing", "folder", "in two writes"])
def test_key_file_that_is_bad_for_a_moment_sends_nothing_and_loses_nothing(
    way: str, run: Run, queue: MessageQueue, tmp_path: Path, collector: CollectorProcess
) -> None:
    """What was half written may be base64 itself: it is not used, since it has only just been changed."""
    key = tmp_path / "key"
    key.write_text(encoded(OLD))
    since = time.time()
    sidecar = run(key_secret="", key_secret_file=str(key), batch_max_age="10 ms")
    with Load(queue) as load:
        load.more()
        if way == "empty":
            key.write_text("")
        elif way == "not base64":
            key.write_text(encoded(NEW)[:5])
        elif way == "in two writes":
            key.write_text(encoded(NEW)[:8])  # "correc", to a reader who does not know
        else:
            key.unlink()
            if way == "folder":
                key.mkdir()
        if way == "in two writes":
            load.more(20)
        else:
            load.more(100)
            wait_until(lambda: "key.secret_file" in sidecar.log(), "it is said")
        if way == "folder":
            key.rmdir()
        key.write_text(encoded(NEW))
        load.more()
    wait_stored(collector, range(load.count))
    assert sidecar.stop() == 0
    check_books(sidecar, received=load.count, delivered=load.count)
    requests = requests_since(collector, since)
    assert {request["status"] for request in requests} == {200}
    assert all(request["headers"]["X-Signature"] for request in requests)


def test_key_that_the_collector_does_not_know_yet_is_held_until_it_does(
    nursery: Nursery, run: Run, queue: MessageQueue, tmp_path: Path
) -> None:
    """The order of a mistaken rotation: senders first. Then the collector, then the old key is taken out."""
    key = tmp_path / "key"
    key.write_text(encoded(OLD))
    with CollectorProcess(tmp_path, keys={"test": OLD}, nursery=nursery) as collector:
        sidecar = run(collector.port, key_secret="", key_secret_file=str(key), batch_max_age="10 ms")
        with Load(queue) as load:
            load.more()
            replace_atomically(key, encoded(NEW))
            wait_until(lambda: "status=401" in sidecar.log(), "the collector does not take it")
            load.more()
            for secrets in ([OLD, NEW], [NEW]):
                collector.stop()
                collector._keys = {"test": secrets}
                collector.start()
                load.more()
        wait_stored(collector, range(load.count))
        assert sidecar.stop() == 0
        check_books(sidecar, received=load.count, delivered=load.count, dead=0, dropped=0)
