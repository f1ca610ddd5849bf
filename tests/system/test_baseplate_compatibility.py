"""Checked against the real thing: baseplate's EventQueue and publisher on one side, ours on the other.

The four ways an event can go all end in our collector, and must store the same.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.baseplate import baseplate_python
from support.collector_process import CollectorProcess
from support.paths import ROOT
from support.sidecar_process import SECRET
from support.waiting import DEADLINE_SECONDS, wait_until

from eventpub import EventQueue, serialize_v2_event
from eventpub.queue.message_queue import MessageQueue
from eventpub.sidecar.host import default_spool_dir

EVENTS = """
from eventpub.schemas.event.ttypes import Event, User
def events():
    for n in range(20):
        yield Event(source="shop", action="buy", noun="tea", client_timestamp=1_700_000_000_000 + n,
                    uuid="00000000-0000-4000-8000-%012d" % n, user=User(id="t2_é" + chr(34) + str(n)))
"""

BASEPLATE_PUT = (
    EVENTS
    + """
import sys, time
from baseplate.lib.events import EventQueue, EventQueueFullError, serialize_v2_event
queue = EventQueue(sys.argv[1], serialize_v2_event)
for event in events():
    while True:
        try:
            queue.put(event)
            break
        except EventQueueFullError:
            time.sleep(0.01)
"""
)


def put_with_baseplate(python: str, queue_name: str) -> None:
    subprocess.run(
        [python, "-c", BASEPLATE_PUT, queue_name],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
        timeout=60,
    )


def put_with_eventpub(_: str, queue_name: str) -> None:
    scope: dict[str, Any] = {}
    exec(EVENTS, scope)
    with EventQueue(queue_name, serialize_v2_event) as queue:
        for event in scope["events"]():
            queue.put(event, timeout=DEADLINE_SECONDS)


COMMANDS = {"baseplate": "baseplate.sidecars.event_publisher", "eventpub": "eventpub.sidecar"}


@pytest.fixture
def publish(
    tmp_path: Path, queue_name: str, collector: CollectorProcess
) -> Iterator[Callable[[str, str], None]]:
    """Start a publisher with a file as baseplate documents it; the command is all that differs."""
    path = tmp_path / "publisher.ini"
    path.write_text(
        f"""[event-publisher:{queue_name}]
collector.hostname = ${{COLLECTOR}}
collector.scheme = http
key.name = test
key.secret = {SECRET}
metrics.namespace = a.name.to.put.metrics.under
metrics.endpoint =
"""
    )
    environment = {"PATH": os.environ["PATH"], "COLLECTOR": collector.hostname, "XDG_STATE_HOME": str(tmp_path)}
    with contextlib.ExitStack() as running:

        def start(kind: str, python: str) -> None:
            command = [python, "-m", COMMANDS[kind], "--queue-name", queue_name, path]
            publisher = running.enter_context(subprocess.Popen(command, cwd=ROOT, env=environment))
            running.callback(publisher.kill)

        yield start
    shutil.rmtree(default_spool_dir() / queue_name, ignore_errors=True)  # root's is not below XDG_STATE_HOME


@pytest.mark.parametrize("publisher", ["baseplate", "eventpub"])
@pytest.mark.parametrize("put", [put_with_baseplate, put_with_eventpub])
def test_every_pairing_stores_the_same_events(
    put: Callable[[str, str], None],
    publisher: str,
    queue_name: str,
    collector: CollectorProcess,
    publish: Callable[[str, str], None],
) -> None:
    with MessageQueue.open(queue_name, max_messages=10, max_message_size=8192):
        publish(publisher, baseplate_python() if publisher == "baseplate" else sys.executable)
        put(baseplate_python(), queue_name)
        stored = wait_until(lambda: len(collector.events()) == 20 and collector.events(), "all are stored")
    for n, row in enumerate(sorted(stored, key=lambda row: row["client_timestamp"])):
        assert row["event"] == {
            "source": "shop",
            "action": "buy",
            "noun": "tea",
            "client_timestamp": 1_700_000_000_000 + n,
            "uuid": f"00000000-0000-4000-8000-{n:012d}",
            "user": {"id": f't2_é"{n}'},
        }


def test_both_serializers_write_the_same_bytes() -> None:
    script = EVENTS + (
        "import sys\n"
        "from baseplate.lib.events import serialize_v2_event\n"
        "sys.stdout.buffer.write(b'\\n'.join(map(serialize_v2_event, events())))"
    )
    theirs = subprocess.run(
        [baseplate_python(), "-c", script],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        timeout=60,
    ).stdout
    scope: dict[str, Any] = {}
    exec(EVENTS, scope)
    assert b"\n".join(map(serialize_v2_event, scope["events"]())) == theirs
