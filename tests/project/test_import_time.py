"""What an application pays for `import eventpub`: only what it needs is loaded. The time is in benchmarks/."""

from __future__ import annotations

import subprocess
import sys

from support.paths import ROOT

HEAVY = {
    "asyncio", "concurrent", "dataclasses", "email", "gevent", "greenlet", "gzip", "http", "inspect", "isal",
    "multiprocessing", "pathlib", "requests", "socket", "sqlite3", "ssl", "statsd", "subprocess", "tempfile",
    "thrift.protocol.TJSONProtocol", "thrift.server", "thrift.transport", "urllib3", "zstandard",
}  # fmt: skip


def loaded_by(statement: str) -> set[str]:
    """The modules `statement` loads into a fresh interpreter that has none but its own."""
    program = f"import sys; before = set(sys.modules); {statement}; print(*set(sys.modules) - before)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}; {program}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(done.stdout.split())


def test_an_application_loads_nothing_it_does_not_need():
    loaded = loaded_by("import eventpub")
    assert "eventpub.queue.event_queue" in loaded
    assert not loaded & HEAVY


def test_a_serializer_of_version_2_loads_nothing_either():
    loaded = loaded_by("from eventpub import EventQueue, serialize_v2_event")
    assert not loaded & HEAVY
