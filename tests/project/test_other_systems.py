"""On macOS and Windows there are no POSIX queues: here what they lack is hidden from our own modules."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import requires

import pytest
from support.paths import ROOT

PRELUDE = """
import builtins, logging, multiprocessing, os, pkgutil, random, sys, threading
import asyncio, zoneinfo  # which look after themselves
import celery.signals, django, pyramid.threadlocal, flask, gevent, msgspec, pytest, requests, starlette, thrift

real = builtins.__import__

def hiding(name, globals=None, *arguments, **options):
    if name in {"posix_ipc", *HIDDEN} and str((globals or {}).get("__name__")).startswith("eventpub"):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return real(name, globals, *arguments, **options)

builtins.__import__ = hiding
for name in WITHOUT:
    delattr(os, name)
sys.platform = SYSTEM
"""
SYSTEMS = {
    "darwin": ((), ()),
    "win32": (
        ("fcntl", "grp", "pwd", "resource", "termios"),
        ("fork", "geteuid", "getuid", "getgid", "fchown", "register_at_fork"),
    ),
}


def run(system: str, program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    hidden, without = SYSTEMS[system]
    prelude = f"HIDDEN, WITHOUT, SYSTEM = {hidden!r}, {without!r}, {system!r}\n{PRELUDE}"
    return subprocess.run(
        [sys.executable, "-W", "ignore:pkg_resources", "-c", prelude + program],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


IMPORT_EVERYTHING = """
import importlib, eventpub
names = [module.name for module in pkgutil.walk_packages(eventpub.__path__, "eventpub.")]
for name in names:
    if not name.startswith(("eventpub.sidecar", "eventpub.collector", "eventpub.__main__")):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != "baseplate":
                raise
from eventpub.errors import QueueUnsupportedError
try:
    eventpub.EventQueue("v2")
except QueueUnsupportedError as error:
    print(error.reason)
with eventpub.EventQueue("v2", stand_in="memory") as events:
    events.put({"noun": "tea"})
    print(events.counts.accepted, *eventpub.testing.take_messages("v2"))
"""


@pytest.mark.parametrize(("system", "called"), [("darwin", "macOS"), ("win32", "Windows")])
def test_eventpub_can_be_imported_and_says_what_to_do_where_there_are_no_queues(system: str, called: str):
    done = run(system, IMPORT_EVERYTHING)
    reason = (
        f"{called} has no POSIX message queues; to develop here, set EVENTPUB_QUEUE to print, discard or "
        "memory; to have events delivered, run on Linux, for instance in a container"
    )
    assert done.stdout.splitlines() == [reason, """1 b'{"noun":"tea"}'"""], done.stderr


def test_an_application_runs_there_with_its_events_printed():
    program = """
from eventpub import EventQueue, serialize_v2_event
from eventpub.schemas.event.ttypes import Event
logging.basicConfig(format="%(levelname)s %(message)s")
for _ in range(2):
    EventQueue("v2", serialize_v2_event).put(Event(source="shop", action="buy", noun="tea"))
"""
    done = run("win32", program, EVENTPUB_QUEUE="print")
    warning = (
        "WARNING event queue 'v2': EVENTPUB_QUEUE=print, so its events are printed, and no sidecar gets them; "
        "for development only"
    )
    line = 'eventpub v2: {"source": "shop", "action": "buy", "noun": "tea"}'
    assert done.stderr.splitlines() == [warning, line, line]


def test_doctor_says_it_too():
    program = "from eventpub.cli.command import run_command\nraise SystemExit(run_command(['doctor']))"
    done = run("win32", program)
    assert (done.returncode, done.stderr) == (2, "")
    assert "failing  Windows has no POSIX message queues" in done.stdout


def test_pip_installs_posix_ipc_on_linux_only():
    (line,) = [line for line in requires("eventpub-sidecar") or () if line.startswith("posix-ipc")]
    assert 'sys_platform == "linux"' in line.replace("'", '"')
