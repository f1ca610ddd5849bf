"""What is bound in a request goes along to its jobs: `dump_context`, `restored`, and Celery's real workers."""

from __future__ import annotations

import contextlib
import contextvars
import datetime as dt
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.paths import ROOT
from support.waiting import wait_until

from eventpub.integrations import bound, current_request, dump_context, restored, say
from eventpub.integrations.jobs import HEADER
from eventpub.testing import strict_values
from eventpub.tracking import MemoryBackend, Tracker

REQUEST = {"id": "r-17", "path": "/buy"}


@pytest.fixture
def memory() -> MemoryBackend:
    return MemoryBackend()


@pytest.fixture
def tracker(memory: MemoryBackend) -> Tracker:
    return Tracker({"memory": memory})


# --- headers ---------------------------------------------------------------------------------------------


def test_a_job_says_what_was_bound_where_it_was_started_and_nothing_else(tracker: Tracker):
    with bound(REQUEST), tracker.context("cart", cart_id="c-1"), Tracker().context("tenant", tenant=3):
        say(user_id=7)
        headers = dump_context()
    with tracker.context("worker", {"worker": "w-1"}):
        with restored(headers):
            assert tracker.resolve_context() == {
                "request": REQUEST,
                "user_id": 7,
                "cart_id": "c-1",
                "tenant": 3,
            }
            assert current_request() == REQUEST
            say(step="second")
            tracker.enter_context("bare", {"bare": True})
            assert tracker.resolve_context()["step"] == "second"
        assert tracker.resolve_context() == {"worker": "w-1"}


def test_headers_are_text_and_pass_through_json(tracker: Tracker):
    when, which = dt.datetime(2026, 1, 2, tzinfo=dt.timezone.utc), uuid.UUID(int=7)
    with bound(REQUEST):
        say(when=when, which=which)
        headers = json.loads(json.dumps(dump_context()))
    with restored(headers):
        said = tracker.resolve_context()
    assert (said["when"], said["which"]) == (when.isoformat(), str(which))


def test_where_nothing_is_bound_there_are_no_headers_and_a_job_without_them_begins_empty(tracker: Tracker):
    def check() -> None:
        assert dump_context() == {}
        with tracker.context("worker", {"worker": 1}):
            for headers in (None, {}, {"other": "x"}):
                with restored(headers):
                    assert tracker.resolve_context() == {}
                    assert say(user_id=7)
                    assert tracker.resolve_context() == {"user_id": 7}
            assert tracker.resolve_context() == {"worker": 1}

    contextvars.Context().run(check)


@given(
    st.one_of(st.text(), st.binary(), st.integers(), st.lists(st.integers()), st.just('{"request": 7, "a": 1}'))
)
def test_a_header_that_cannot_be_read_costs_what_it_said_and_no_more(header: Any):
    tracker = Tracker()
    with restored({HEADER: header}):
        assert set(tracker.resolve_context()) <= {"a"}


def test_a_context_that_cannot_be_written_costs_that_value(tracker: Tracker):
    class Broken:
        def keys(self) -> Any:
            raise LookupError

    with strict_values(strict=False), bound(REQUEST), tracker.context("broken", Broken()):  # type: ignore[arg-type]
        say(lock=object(), user_id=7)
        headers = dump_context()
    with restored(headers):
        said = tracker.resolve_context()
    assert (said["user_id"], said["request"]) == (7, REQUEST)
    assert "object" in said["lock"]


def test_a_job_that_fails_leaves_nothing(tracker: Tracker):
    with bound(REQUEST):
        headers = dump_context()
    with pytest.raises(ZeroDivisionError), restored(headers):
        raise ZeroDivisionError
    assert tracker.resolve_context() == {}


# --- Celery ----------------------------------------------------------------------------------------------

APP = """
import json, os, sys, time, uuid
from pathlib import Path

from celery import Celery
from kombu.transport import filesystem

from eventpub.integrations import bound, celery as eventpub_celery, say
from eventpub.tracking import AsyncBackend, Tracker

folder = Path(os.environ["SHOP_FOLDER"])


class Folder(filesystem.Channel):
    def _put(self, queue, payload, **_):
        draft = folder / f"{time.monotonic_ns():020}_{uuid.uuid4()}.{queue}.msg"
        draft.write_text(json.dumps(payload))
        draft.rename(folder / "queue" / draft.name)  # whole: of kombu's own, a worker may find the beginning


filesystem.Transport.Channel = Folder
app = Celery("shop", broker="filesystem://", broker_transport_options={
    "data_folder_in": str(folder / "queue"), "data_folder_out": str(folder / "queue"),
    "control_folder": str(folder / "control"), "polling_interval": 0.05,
})
app.conf.update(worker_send_task_events=False, task_ignore_result=True, worker_enable_remote_control=False,
                broker_connection_retry_on_startup=True)
eventpub_celery.setup(app)


class Lines:
    only_reads = True

    def send(self, event):
        time.sleep(0.05)
        with (folder / "events").open("a") as lines:
            lines.write(json.dumps([event["name"], event["context"], os.getpid()]) + "\\n")


tracker = Tracker({"lines": AsyncBackend(Lines())})


@app.task(bind=True, max_retries=1)
def sell(self, tea):
    tracker.emit(f"sold {tea}")
    tracker.enter_context("bare", {"left": "behind"})
    if tea == "retried" and not self.request.retries:
        raise self.retry(countdown=0)
    if tea == "failed":
        raise LookupError


@app.task
def restock():
    tracker.emit("restocked")
    sell.delay("from a task")


def order(user, tea):
    with bound({"id": f"request of {user}"}):
        say(user_id=user)
        sell.delay(tea)
"""


class Shop:
    """An application in a file, its broker in a folder, and its workers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "shop.py").write_text(APP, encoding="utf-8")
        for name in ("queue", "control"):
            (folder / name).mkdir()
        path = os.pathsep.join([str(folder), str(ROOT)])
        self.environment = os.environ | {
            "PYTHONPATH": path,
            "SHOP_FOLDER": str(folder),
            "PYTHONWARNINGS": "ignore",
        }

    def run(self, program: str) -> None:
        program = f"from shop import *\n{program}"
        subprocess.run([sys.executable, "-c", program], env=self.environment, check=True, timeout=60)

    @contextlib.contextmanager
    def worker(self, *options: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        command = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "shop",
            "worker",
            "--without-gossip",
            "--without-mingle",
        ]
        command += ["--without-heartbeat", "--loglevel", "WARNING", *options]
        log = (self.folder / "log").open("wb")
        process = subprocess.Popen(command, env=self.environment | environment, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            finally:
                process.kill()
                process.wait()
                log.close()

    @property
    def events(self) -> list[Any]:
        path = self.folder / "events"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        ("--pool", "prefork", "--concurrency", "1", "--max-tasks-per-child", "4"),
        ("--pool", "threads", "--concurrency", "2"),
    ],
)
def test_tasks_say_the_request_that_sent_them_and_the_end_of_a_worker_loses_none_of_their_events(
    options: tuple[str, ...], shop: Shop
):
    shop.run(
        "order('A', 'oolong'); order('B', 'failed'); order('C', 'retried'); sell.delay('anonymous')\n"
        "restock.delay()"
    )
    with shop.worker(*options):
        names = {"sold retried", "sold from a task"}
        wait_until(lambda: names <= {name for name, _, _ in shop.events}, "the last tasks have run", 60)
    said: dict[str, list[Any]] = {}
    for name, context, _ in shop.events:
        said.setdefault(name, []).append(context)
    of = {user: {"request": {"id": f"request of {user}"}, "user_id": user} for user in "ABC"}
    assert said == {
        "sold oolong": [of["A"]],
        "sold failed": [of["B"]],
        "sold retried": [of["C"], of["C"]],
        "sold anonymous": [{}],
        "restocked": [{}],
        "sold from a task": [{}],
    }
    assert len({pid for _, _, pid in shop.events}) == (2 if "prefork" in options else 1)


def test_a_task_that_is_run_in_place_is_a_part_of_the_request(shop: Shop):
    shop.run(
        "app.conf.task_always_eager = True\n"
        "with bound({'id': 'r-1'}), tracker.context('cart', cart=3):\n"
        "    say(user_id=7)\n"
        "    sell.delay('oolong')\n"
        "    say(user_id=8)\n"
        "    tracker.emit('after')\n"
        "tracker.backends['lines'].close()"
    )
    first, second = (context for _, context, _ in shop.events)
    assert first == {"request": {"id": "r-1"}, "user_id": 7, "cart": 3}
    assert (second["user_id"], second["left"]) == (8, "behind")
