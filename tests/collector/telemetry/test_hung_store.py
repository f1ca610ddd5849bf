"""A store that does not answer: probes say so, and the service manager hears no longer that all is well."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import types
from pathlib import Path

import gevent
import pytest
from support.waiting import wait_until

from eventpub.collector.store import Health, IncomingBatch, Outcome, Receipt
from eventpub.collector.store.thread import StoreThread
from eventpub.collector.supervised import tell_supervisor
from eventpub.collector.telemetry.counts import Counts
from eventpub.collector.telemetry.observer import Observer
from eventpub.process.sockets import connect_to_path

HUNG_SECONDS = 0.5
BATCH = IncomingBatch("test", "b", True, b"", "2j", 0.0, ())


class HangingStore:
    """Answers once `goes_on` is set."""

    def __init__(self) -> None:
        self.goes_on = threading.Event()

    def add(self, _batch: IncomingBatch) -> Receipt:
        self.goes_on.wait(60)
        return Receipt(Outcome.STORED)

    def seen(self, _batch: IncomingBatch) -> None:
        return None

    def health(self) -> Health:
        return Health(writable=True)

    def tend(self) -> None:
        """Have nothing to do."""

    def close(self) -> None:
        """Have nothing to close."""


def ask(path: Path, question: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("collector")
    connection.sock = connect_to_path(path, 20)
    with contextlib.closing(connection):
        connection.request("GET", question)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def test_a_store_that_hangs_is_told_to_all_who_ask_and_to_the_service_manager(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))
    manager.setblocking(False)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "80000")  # so that it is told every 20 ms

    def hear() -> list[str]:
        heard = []
        with contextlib.suppress(BlockingIOError):
            while True:
                heard.append(manager.recv(4096).decode())
        return heard

    def get(question: str) -> tuple[int, str]:
        answer: tuple[int, str] = gevent.get_hub().threadpool.apply(ask, (tmp_path / "status", question))
        return answer

    def until(condition, what: str) -> None:
        wait_until(lambda: (gevent.sleep(0.01), condition())[1], what)

    slow = HangingStore()
    store = StoreThread(lambda: slow, close_patience_seconds=5)
    server = types.SimpleNamespace(counts=Counts(), table=())
    ended: list[str] = []
    observer = Observer(server, hung_seconds=HUNG_SECONDS, tick_seconds=0.05, end=ended.append)
    with manager, contextlib.closing(store), contextlib.closing(observer):
        observer.start()
        observer.listen(str(tmp_path / "status"))
        assert get("/livez")[0] == 200
        assert get("/readyz") == (503, "store: it is being opened\n")
        observer.watch(store, types.SimpleNamespace(pending_bytes=0))
        assert get("/readyz") == (200, "ok\n")
        with tell_supervisor("serves", observer.is_well):
            until(lambda: "WATCHDOG=1" in hear(), "the manager hears that all is well")
            adding = gevent.spawn(store.add, BATCH)
            assert not ended
            until(lambda: not observer.is_well(), "it is seen that the store hangs")
            for question in ("/livez", "/readyz"):
                status, words = get(question)
                assert (status, words.rpartition(" for ")[0]) == (503, "hung: the store has not answered")
            until(lambda: ended, "the process would end")
            assert ended[0].startswith("the store has not answered for ")
            assert "eventpub_collector_store_ready 0.0" in get("/metrics")[1]
            hear()
            gevent.sleep(0.2)
            assert hear() == []
            slow.goes_on.set()
            until(lambda: "WATCHDOG=1" in hear(), "the manager hears it again")
            assert adding.get().outcome is Outcome.STORED
            assert get("/readyz") == (200, "ok\n")
