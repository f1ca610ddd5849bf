"""`eventpub tap` beside real sidecars."""

from __future__ import annotations

import http.client
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.collector_process import CollectorProcess
from support.commands import QUEUE, Command, SpoolFolder
from support.letters import write_config
from support.paths import ROOT
from support.rigs import Run
from support.waiting import DEADLINE_SECONDS, wait_until

from eventpub.schemas.event.ttypes import Event, User
from eventpub.serialization.serialize import serialize_v2_event
from eventpub.sidecar.commands import following
from eventpub.sidecar.commands.condition import parse_where
from eventpub.sidecar.status import ask
from eventpub.sidecar.status.answering import socket_path

HOSTILE = b'{"a":"\xc2\x9b31m\x1b]0;title\x07\\u001b"}'


class Tap:
    """`eventpub tap`, once it listens."""

    def __init__(self, *words: object, stdout: int = subprocess.PIPE) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "eventpub", "tap", *map(str, words)],
            cwd=ROOT,
            stdout=stdout,
            stderr=subprocess.PIPE,
        )
        self._told: queue.Queue[bytes] = queue.Queue()
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def wait_until_it_listens(self) -> None:
        assert b"showing what" in self.told()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stderr:
            for line in stderr:
                self._told.put(line)

    def told(self) -> bytes:
        """The next line of what it says beside the events."""
        return self._told.get(timeout=DEADLINE_SECONDS)

    def line(self) -> bytes:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(DEADLINE_SECONDS)

    def close(self) -> None:
        self.process.kill()
        self.process.wait(DEADLINE_SECONDS)
        self._reading.join()
        if self.process.stdout is not None:
            self.process.stdout.close()


@pytest.fixture
def tap() -> Iterator[Callable[..., Tap]]:
    started: list[Tap] = []

    def start_one(*words: object, stdout: int = subprocess.PIPE) -> Tap:
        started.append(Tap(*words, stdout=stdout))
        started[-1].wait_until_it_listens()
        return started[-1]

    yield start_one
    for each in started:
        each.close()


@pytest.fixture
def collector_keys() -> None:
    """The key that sidecars have."""


@pytest.fixture
def sidecar_keys() -> Mapping[str, str]:
    return {"collector_version": "2"}


def test_what_passes_is_shown_by_names_and_hostile_bytes_as_escapes_and_all_is_delivered(
    run: Run,
    tap: Callable[..., Tap],
    collector: CollectorProcess,
    queue_name: str,
) -> None:
    sidecar = run()
    event = serialize_v2_event(
        Event(source="web", action="buy", noun="tea", client_timestamp=1, uuid="u", user=User(id="u1"))
    )
    lines, people = tap(queue_name, sidecar.config, "--json"), tap(queue_name, "--spool", sidecar.spool)
    buys = tap(queue_name, sidecar.config, "--where", "user.id=u1", "--where", "noun=tea", "--limit", 1)
    sidecar.put(HOSTILE, b"\xff\x1b", b"no JSON \x1b", event)
    shown = [json.loads(lines.line()) for _ in range(4)]
    assert all(line.items() >= {"queue": queue_name, "slot": 0}.items() for line in shown)
    assert shown[0]["event"] == {"a": "\x9b31m\x1b]0;title\x07\x1b"}
    assert (shown[1]["event_base64"], shown[2]["event"]) == ("/xs=", "no JSON \x1b")
    assert shown[3]["event"].items() >= {"source": "web", "user": {"id": "u1"}}.items()
    for number in range(4):
        line = people.line()
        assert b"\x1b" not in line
        assert line.decode().rstrip("\n").isprintable(), number
    assert b'"noun": "tea"' in buys.line()
    assert (buys.process.wait(DEADLINE_SECONDS), lines.interrupt(), people.interrupt()) == (0, 130, 130)
    wait_until(lambda: len(collector.events()) == 1, "the good event is delivered")


def test_several_sidecars_are_one_stream_and_one_that_is_killed_is_followed_again(
    run: Run, tap: Callable[..., Tap], queue_name: str
) -> None:
    sidecars = [run(collector_version="2j") for _ in range(2)]
    running = tap(queue_name, sidecars[0].config, "--json")
    sidecars[0].put(*(b'{"n":%d}' % number for number in range(100)))
    shown = [json.loads(running.line()) for _ in range(100)]
    assert sorted(line["event"]["n"] for line in shown) == [*range(100)]
    for sidecar in sidecars:
        sidecar.kill()
    assert {running.told().split(b": ")[1] for _ in range(2)} == {b"slot 0", b"slot 1"}
    again = run(collector_version="2j")
    seen: list[int] = []
    threading.Thread(target=lambda: seen.append(json.loads(running.line())["event"]["m"]), daemon=True).start()

    def put_one() -> list[int]:
        again.put(b'{"m":1}')
        return seen

    wait_until(put_one, "the new sidecar is followed")
    assert again.process.poll() is None
    assert running.interrupt() == 130


def test_a_reader_that_is_slow_is_told_how_many_it_missed_and_delays_nothing(
    run: Run,
    tap: Callable[..., Tap],
    collector: CollectorProcess,
    queue_name: str,
) -> None:
    sidecar = run(collector_version="2j")
    running = tap(queue_name, sidecar.config, "--json")
    events = 4_000
    sidecar.put(*(b'{"pad":"%s"}' % (b"x" * 200) for _ in range(events)))
    wait_until(lambda: len(collector.events()) == events, "all is delivered, though nobody reads")
    shown = missed = 0
    while shown + missed < events:
        line = json.loads(running.line())
        shown += "event" in line
        missed += line.get("lost", 0)
    assert missed > 0
    assert running.interrupt() == 130


def test_a_closed_pipe_ends_it_quietly(run: Run, tap: Callable[..., Tap], queue_name: str) -> None:
    sidecar = run(collector_version="2j")
    read, write = os.pipe()
    running = tap(queue_name, sidecar.config, stdout=write)
    os.close(write)
    os.close(read)
    sidecar.put(b"{}")
    assert running.process.wait(DEADLINE_SECONDS) == 0
    assert running._told.empty()


def test_dead_letters_are_shown_with_the_reason(run: Run, tap: Callable[..., Tap], queue_name: str) -> None:
    sidecar = run()
    running = tap(queue_name, sidecar.config, "--dead", "--json", "--limit", 1)
    sidecar.put(b'{"1":{"i64":5}}')
    letter: dict[str, Any] = json.loads(running.line())
    assert letter.items() >= {"queue": queue_name, "reason": "rejected", "status": 422, "index": 0}.items()
    assert letter["event"] == {"source": {"i64": 5}}
    assert "source" in letter["detail"]
    assert running.process.wait(DEADLINE_SECONDS) == 0


def test_without_a_sidecar_it_says_so(eventpub: Command, tmp_path: Path, queue_name: str) -> None:
    for words in (["--spool", tmp_path], ["--spool", tmp_path, "--dead"]):
        done = eventpub("tap", queue_name, *words)
        assert (done.code, f"of queue {queue_name}" in done.err) == (69, True)
    assert eventpub("tap", queue_name, tmp_path / "a.ini", "--spool", tmp_path).code == 64
    assert eventpub("tap", queue_name, "--where", "action").code == 64


def test_the_queue_may_be_left_out_where_the_file_names_it(
    eventpub: Command, spool: SpoolFolder, tmp_path: Path
) -> None:
    config = write_config(tmp_path / "v2.ini", spool, "localhost:9")
    for words in ([config], ["--queue-name", QUEUE, config], [QUEUE, config]):
        done = eventpub("tap", *words)
        assert (done.code, f"no sidecar of queue {QUEUE} runs" in done.err) == (69, True)
        assert f"see: eventpub status --queue-name {QUEUE} {config}" in done.err
    for words in ([], [QUEUE, "--queue-name", QUEUE], ["a@b"]):
        assert eventpub("tap", *words).code == 64


def test_a_sidecar_that_hangs_is_waited_for_as_long_as_by_status_and_no_longer(
    tmp_path: Path, queue_name: str, eventpub: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot, waited = tmp_path / queue_name / "0", []

    def connect(slot: Path, seconds: float = ask.ASK_SECONDS) -> http.client.HTTPConnection:
        waited.append(seconds)
        return ask.connect_slot(slot, 0.1)

    monkeypatch.setattr(following, "connect_slot", connect)
    slot.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(socket_path(slot)))
        mute.listen()
        assert eventpub("tap", queue_name, "--spool", tmp_path).code == 69
    assert waited == [ask.ASK_SECONDS]


@pytest.mark.parametrize(
    ("where", "is_met"),
    [
        ("action=buy", True),
        ("action=sell", False),
        ("user.id=u1", True),
        ("user.name=", False),
        ("items.1.price=2.5", True),
        ("items.2.price=2.5", False),
        ("items.x=1", False),
        ("items.0=tea", True),
        ("is_new=true", True),
        ("a.b=c=d", True),
        ("a.b.c.d=1", True),
        ("action.buy=1", False),
        ('user={"id": "u1"}', True),
    ],
)
def test_a_condition_names_a_field_by_dots(where: str, is_met: object) -> None:
    event = {
        "action": "buy",
        "user": {"id": "u1"},
        "items": ["tea", {"price": 2.5}],
        "is_new": True,
        "a.b": "c=d",
        "a": {"b.c": {"d": 1}},
    }
    assert parse_where(where).is_met(event) is is_met
