"""The processes of the soak, the misfortunes that strike them, and what is accepted, stored and dead."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import random
import resource
import secrets
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from support.collector_process import CollectorProcess
from support.line import Line
from support.nursery import Nursery, NurserySidecar
from support.paths import ROOT
from support.waiting import wait_until
from system.soak.books import Books, draw_up
from system.soak.small_disk import SmallDisk

from eventpub.cli.exit_codes import EXIT_BROKEN, EXIT_NO_SPOOL, EXIT_NOT_YET, EXIT_UNAVAILABLE
from eventpub.errors import QueueMissingError
from eventpub.queue.message_queue import MessageQueue, remove_queue

PRODUCERS = 4
RESTARTED = {EXIT_UNAVAILABLE, EXIT_BROKEN, EXIT_NO_SPOOL, EXIT_NOT_YET}  # what supervisors start again at once
_PAGE = {
    "headers": {"Content-Type": "text/html"},
    "body": "<html><head><title>Request Entity Too Large</title></head></html>",
}
_JSON = {"headers": {"Content-Type": "application/json"}, "body": json.dumps({"message": "Bad Request"})}
DRAIN_SECONDS = 300.0
PROGRESS_SECONDS = 2.0
FAULTS: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "500": [{"status": 500, "times": 20}],
    "429": [{"status": 429, "headers": {"Retry-After": "1"}, "times": 2}],
    "404": [{"status": 404, "times": 10}],
    "connection closed": [{"close": "before_read", "times": 5}, {"close": "after_read", "times": 5}],
    "answer lost": [{"accept_then": "close", "times": 10}],
    "half an answer": [{"half_answer": True, "times": 10}],
    "slow": [{"delay": 0.3, "times": 20}],
    "hang": [{"hang": True, "times": 3}],
    "gateway's page": [{"status": status, **_PAGE, "times": 10} for status in (400, 413, 422)],
    "gateway's JSON": [{"status": status, **_JSON, "times": 10} for status in (400, 413, 422)],
    "empty 400": [{"status": 400, "times": 20}],
    "empty 413": [{"status": 413, "times": 5}],
    "answer lost, then 413": [{"accept_then": "close"}, {"status": 413}] * 5,
    "answer lost, then 400": [{"accept_then": "close"}, {"status": 400}, {"status": 400}] * 4,
    "mixed": [{"accept_then": "close"}, {"status": 503}, {"half_answer": True}, {"delay": 0.2}] * 5,
}

OUTAGES = ["refused", "reset", "reset_midway", "garbage", "portal", "half_head", "broken_chunk", "flood"]

# Puts numbered events at 500 a second, every 499th of them poison, and notes each that was accepted in a file
# that outlives it. It blocks SIGTERM meanwhile, so none is accepted and not noted.
_PRODUCER = """
import os, signal, sys, time
from eventpub import EventQueue
from eventpub.errors import EventQueueFullError
queue_name, mark, notes = sys.argv[1:]
queue = EventQueue(queue_name, bytes, max_messages=10, max_message_size=1024)
fd = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
number = 0
while True:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    pad = b"\\xff" if number % 499 == 498 else b"x" * (number * 37 % 700)
    event = b'{"mark":"%s","n":%d,"pad":"%s"}' % (mark.encode(), number, pad)
    try:
        queue.put(event)
    except EventQueueFullError:
        accepted = False
    else:
        accepted = True
        os.write(fd, event + b"\\n")
        number += 1
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    time.sleep(0.002 if accepted else 0.01)
"""


class Soak:
    """The rig, and what happens to it.

    Args:
        folder: for all its files.
        seed: decides which misfortune comes when.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self.fault = "none"
        self._folder = folder
        self._random = random.Random(seed)
        self._stack = contextlib.ExitStack()
        self._key_file = folder / "key"
        self._producers: list[subprocess.Popen[bytes]] = []
        self._spool = folder / "spool"
        self._spool.mkdir(mode=0o700)
        self._disk = SmallDisk(self._spool)
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _build(self) -> None:
        self._secrets = [secrets.token_bytes(16)]
        self._use_key(self._secrets[0])
        self._collector = CollectorProcess(
            self._folder, keys={"test": self._secrets}, schemas={"default": "any"}
        )
        self._stack.callback(self._collector.kill)
        self._line = self._stack.enter_context(Line(self._collector.port, hints=True))
        prefix = [] if self._disk.refusal else self._disk.prefix
        self._nursery = self._stack.enter_context(contextlib.closing(Nursery(prefix)))
        self._seen_spool = self._disk.belongs_to(self._nursery.pid) if prefix else self._spool
        self._names = [f"soak{os.getpid()}-{number}" for number in (0, 1)]
        for name in self._names:
            MessageQueue.open(name, max_messages=10, max_message_size=1024).close()
            self._stack.callback(remove_queue, name)
        ports = (self._collector.port, self._line.port, self._collector.port)
        names = (*self._names, self._names[0])
        self._sidecars = [self._sidecar(*where) for where in zip(names, ports, strict=True)]
        for number in range(PRODUCERS):
            self._producers.append(self._producer(number))

    def _sidecar(self, queue_name: str, port: int) -> NurserySidecar:
        folder = Path(tempfile.mkdtemp(prefix="sidecar-", dir=self._folder))
        sidecar = NurserySidecar(
            self._nursery, folder, queue_name, port,
            collector_version="2j", max_message_size="1024", batch_max_age="50 ms", collector_timeout="1 s",
            shutdown_timeout="300 ms", key_secret="", key_secret_file=str(self._key_file),
            spool_dir=str(self._spool),
        )  # fmt: skip
        self._stack.callback(sidecar.kill)
        return sidecar

    @property
    def disk_refusal(self) -> str:
        """Return why no disk can be made full here; empty if one can."""
        return self._disk.refusal

    def _producer(self, number: int) -> subprocess.Popen[bytes]:
        self.counts["producers"] += 1
        mark = f"{self.counts['producers']}"
        notes = str(self._folder / f"accepted.{mark}")
        queue_name = self._names[number % 2]
        command = [sys.executable, "-c", _PRODUCER, queue_name, mark, notes]
        return subprocess.Popen(command, cwd=ROOT)

    def close(self) -> None:
        """End all processes, remove the queues."""
        for producer in self._producers:
            producer.kill()
            producer.wait()
        self._stack.close()

    # --- misfortunes

    def run(self, seconds: float, kills: int) -> None:
        """Let one misfortune follow the other for so long, or until there were so many kills; show progress."""
        until = time.monotonic() + seconds
        shown_at, started = 0.0, time.monotonic()
        weights: dict[Callable[[], None], int] = {
            self.kill_sidecar: 8, self.kill_recovery: 4, self.stop_sidecar: 2, self.reload_sidecar: 1,
            self.change_fault: 3, self.kill_collector: 1, self.stop_collector: 1,
            self.rotate_key: 1, self.break_key: 1, self.replace_producer: 1, self.change_version: 1,
            self.break_line: 1, self.replace_queue: 2, self.starve_sidecar: 1,
        }  # fmt: skip
        if not self._disk.refusal:
            weights[self.fill_disk] = 1
        while self.counts["kills"] < kills if kills else time.monotonic() < until:
            time.sleep(self._random.uniform(0, 0.2))
            self._random.choices([*weights], [*weights.values()])[0]()
            self._supervise()
            if time.monotonic() - shown_at > PROGRESS_SECONDS:
                shown_at = time.monotonic()
                self._show(shown_at - started)

    def kill_sidecar(self) -> None:
        sidecar = self._random.choice(self._sidecars)
        sidecar.kill()
        sidecar.process.wait()
        sidecar.launch()
        self.counts["kills"] += 1

    def kill_recovery(self) -> None:
        """Kill one two or three times, so soon that it is hardly up."""
        for _ in range(self._random.randint(2, 3)):
            self.kill_sidecar()
            time.sleep(self._random.uniform(0, 0.06))

    def stop_sidecar(self) -> None:
        """Stop one as a supervisor does; it must end in time and well, whatever the collector does."""
        sidecar = self._random.choice(self._sidecars)
        self._wait_started(sidecar)
        code = sidecar.stop()
        ledger = sidecar.ledger()
        if code or ledger["unaccounted"] or ledger["dropped"]:
            raise AssertionError(f"stopped with code {code}: {ledger}\n{sidecar.log()}")
        self.counts["stops"] += 1
        sidecar.start()

    def reload_sidecar(self) -> None:
        sidecar = self._random.choice(self._sidecars)
        self._wait_started(sidecar)
        sidecar.configure(batch_max_age=f"{self._random.randint(10, 200)} ms")
        sidecar.signal(signal.SIGHUP)

    def change_version(self) -> None:
        """Have one receive under the other version of the wire, while batches of this one wait."""
        sidecar = self._random.choice(self._sidecars)
        self._wait_started(sidecar)
        sidecar.configure(collector_version=self._random.choice(["2", "2j"]))
        sidecar.signal(signal.SIGHUP)
        self.counts["versions"] += 1

    def replace_queue(self) -> None:
        """Give a queue another size, or remove it, while everybody uses it."""
        name = self._random.choice(self._names)
        if self._random.random() < 0.5:
            with contextlib.suppress(QueueMissingError):  # nobody has created it again yet
                remove_queue(name)
        else:
            resize = [sys.executable, "-m", "eventpub", "queue", "resize", name]
            size = ["--max-messages", str(self._random.randint(5, 10))]
            subprocess.run([*resize, *size], cwd=ROOT, capture_output=True, check=False)
        self.counts["replaced queues"] += 1

    def fill_disk(self) -> None:
        """Leave next to no room for the spool, with poison in it, while sidecars are killed and refused."""
        self.counts["full disks"] += 1
        with self._disk.full(self._random.choice([0, 4, 16, 64, 256, 1024]) * 1024):
            for _ in range(self._random.randint(1, 4)):
                time.sleep(self._random.uniform(0, 0.5))
                self._random.choice([self.kill_sidecar, self.change_fault, self.starve_sidecar, lambda: None])()

    def starve_sidecar(self) -> None:
        """Kill one, and let the next have hardly any descriptors for a moment."""
        sidecar = self._random.choice(self._sidecars)
        sidecar.kill()
        sidecar.process.wait()
        sidecar.launch()
        self.counts["kills"] += 1
        self.counts["starved"] += 1
        pid = sidecar.process.pid
        with contextlib.suppress(ProcessLookupError):  # it may end for want of them
            usual, most = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (self._random.randint(6, 40), most))
            time.sleep(self._random.uniform(0, 0.5))
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (usual, most))

    def break_line(self) -> None:
        """Cut the way of one sidecar for a while, or have others answer there."""
        self._line.break_(self._random.choice(OUTAGES))
        time.sleep(self._random.uniform(0, 1))
        self._line.mend()
        self.counts["outages"] += 1

    def change_fault(self) -> None:
        self.fault = self._random.choice([*FAULTS])
        self._collector.set_faults(FAULTS[self.fault])

    def kill_collector(self) -> None:
        self._collector.kill()
        self._restart_collector()

    def stop_collector(self) -> None:
        self._collector.stop()
        self._restart_collector()

    def _restart_collector(self) -> None:
        self.fault = "collector down"
        time.sleep(self._random.uniform(0, 1.5))
        self._collector.start()
        self.fault = "none"
        self.counts["collector restarts"] += 1

    def rotate_key(self) -> None:
        """Give the collector a new key beside the old one, then the sidecars the new one."""
        self._secrets[:] = [secrets.token_bytes(16), self._secrets[0]]
        self.stop_collector()
        self._use_key(self._secrets[0])
        self.counts["key rotations"] += 1

    def break_key(self) -> None:
        """Give the sidecars a new key before the collector has it, which refuses them meanwhile."""
        self._use_key(fresh := secrets.token_bytes(16))
        time.sleep(self._random.uniform(0, 0.5))
        self._secrets[:] = [fresh]
        self.stop_collector()
        self.counts["key rotations"] += 1

    def replace_producer(self) -> None:
        number = self._random.randrange(PRODUCERS)
        self._end(self._producers[number])
        self._producers[number] = self._producer(number)

    def _use_key(self, secret: bytes) -> None:
        fresh = self._key_file.with_suffix(".new")
        fresh.write_bytes(base64.b64encode(secret))
        fresh.rename(self._key_file)

    def _supervise(self) -> None:
        """Start those again that ended by themselves, as supervisors do; no other end is good."""
        for sidecar in self._sidecars:
            code = sidecar.process.poll()
            if code is not None:
                assert code in RESTARTED, f"a sidecar ended with code {code}:\n{sidecar.log()}"
                self.counts[f"ended with {code}"] += 1
                sidecar.launch()

    def _wait_started(self, sidecar: NurserySidecar) -> None:
        def is_started() -> bool:
            self._supervise()
            return "started queue=" in sidecar.log()

        wait_until(is_started, "it has started")

    def _end(self, producer: subprocess.Popen[bytes]) -> None:
        producer.terminate()
        producer.wait()

    # --- the books

    def drain(self) -> None:
        """Let all that was accepted arrive, with nothing in its way."""
        for producer in self._producers:
            self._end(producer)
        self._collector.set_faults([])
        for sidecar in self._sidecars:
            self._wait_started(sidecar)
        proof = (self._folder / "accepted.proof").open("ab")

        def is_empty() -> bool:
            """Tell whether all is delivered; else put an event: poison waits until others are accepted."""
            if not self._waiting():
                return True
            for name in self._names:
                self.counts["proofs"] += 1
                event = b'{"mark":"proof","n":%d,"pad":""}' % self.counts["proofs"]
                with MessageQueue.open(name, create=False) as queue:
                    if queue.send(event):
                        proof.write(event + b"\n")
            time.sleep(0.2)
            return False

        with proof, contextlib.suppress(AssertionError):  # what is not there by then is in the books as lost
            wait_until(is_empty, "the spool is empty", DRAIN_SECONDS)
        for sidecar in self._sidecars:
            sidecar.stop()
            assert sidecar.ledger()["unaccounted"] == 0, sidecar.log()

    def _waiting(self) -> bool:
        slots = self._seen_spool.glob("*/[0-9]*")
        files = (name for slot in slots for _, _, names in os.walk(slot) for name in names)
        for queue_name in self._names:
            with MessageQueue.open(queue_name, create=False) as queue:
                if queue.depth():
                    return True
        return any(name.endswith(".batch") for name in files)

    def keep_spool(self) -> None:
        """Copy the spool to where it can be looked at when all has ended."""
        shutil.copytree(self._seen_spool, self._folder / "spool-kept", dirs_exist_ok=True)

    def books(self) -> Books:
        return draw_up(self._accepted(), self._stored(), self._dead())

    def _accepted(self) -> Iterator[bytes]:
        for notes in self._folder.glob("accepted.*"):
            yield from notes.read_bytes().splitlines()

    def _stored(self) -> Iterator[bytes]:
        with contextlib.closing(sqlite3.connect(self._collector.store_path)) as store:
            for (event,) in store.execute("SELECT event FROM events"):
                yield json.dumps(json.loads(event), separators=(",", ":")).encode()

    def _dead(self) -> Iterator[bytes]:
        for letter in self._seen_spool.glob("*/dead/*.json"):
            document = json.loads(letter.read_text())
            coded = document.get("event_base64")
            yield base64.b64decode(coded) if coded else document["event"].encode()

    def _show(self, seconds: float) -> None:
        accepted = sum(notes.read_bytes().count(b"\n") for notes in self._folder.glob("accepted.*"))
        with contextlib.closing(sqlite3.connect(self._collector.store_path)) as store:
            (stored,) = store.execute("SELECT count(*) FROM events").fetchone()
        counts = " ".join(f"{name}={number}" for name, number in sorted(self.counts.items()))
        print(
            f"{seconds:5.0f} s  accepted={accepted:,} stored={stored:,} {counts} fault={self.fault!r}",
            flush=True,
        )
