"""The async backend: what waits, what is lost and why, and what happens at a fork and at exit."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.forked import in_child
from support.waiting import DEADLINE_SECONDS, wait_until

from eventpub.tracking import AsyncBackend, Books, Loss, MemoryBackend, Tracker


class Gate(MemoryBackend):
    """A backend that takes no event before it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = threading.Event()
        self.reached = threading.Event()

    def send(self, event: Any, /) -> None:
        self.reached.set()
        assert self.opened.wait(DEADLINE_SECONDS)
        super().send(event)


@contextmanager
def stuck(**settings: Any) -> Iterator[tuple[AsyncBackend, Gate]]:
    """A backend whose worker has event 0 in its hands until the gate is opened; it is opened in the end."""
    gate = Gate()
    with AsyncBackend(gate, **settings) as backend:
        backend.send(numbered(0))
        assert gate.reached.wait(DEADLINE_SECONDS)
        try:
            yield backend, gate
        finally:
            gate.opened.set()


def numbered(number: int) -> dict[str, Any]:
    return {"name": str(number)}


def in_balance(books: Books) -> bool:
    return books.sent == books.delivered + books.waiting + sum(books.lost.values())


# --- the way of an event ---------------------------------------------------------------------------------


def test_events_arrive_in_their_order_from_another_thread():
    threads: set[str] = set()

    class Memory(MemoryBackend):
        def send(self, event: Any, /) -> None:
            threads.add(threading.current_thread().name)
            super().send(event)

    memory = Memory()
    with AsyncBackend(memory) as backend:
        for number in range(100):
            backend.send(numbered(number))
    assert memory.names == [str(number) for number in range(100)]
    assert threads == {"eventpub-async-backend"}
    assert backend.books == Books(sent=100, delivered=100, waiting=0, lost={})


def test_send_does_not_wait_for_the_backend():
    with stuck() as (backend, gate):
        backend.send(numbered(1))
        assert gate.events == []
        assert backend.books == Books(sent=2, delivered=0, waiting=2, lost={})


def test_no_thread_runs_before_the_first_event_nor_after_close():
    before = set(threading.enumerate())

    def workers() -> int:
        return len(set(threading.enumerate()) - before)

    backend = AsyncBackend(MemoryBackend())
    assert workers() == 0
    backend.send(numbered(0))
    assert workers() == 1
    backend.close()
    wait_until(lambda: workers() == 0, "the thread ends")


def test_events_arrive_as_they_were_when_sent():
    with stuck() as (backend, gate):
        event = {"name": "n", "data": {"items": [1]}}
        backend.send(event)
        event["data"]["items"].append(2)  # type: ignore[index]
    assert backend.flush(DEADLINE_SECONDS)
    assert gate.events[1] == {"name": "n", "data": {"items": [1]}}


def test_flush_waits_until_all_is_delivered_or_its_time_is_over():
    with stuck() as (backend, gate):
        backend.send(numbered(1))
        assert not backend.flush(0)
        gate.opened.set()
        assert backend.flush(DEADLINE_SECONDS)
        assert gate.names == ["0", "1"]


def test_what_the_backend_raises_is_logged_and_counted_and_the_next_event_arrives(
    caplog: pytest.LogCaptureFixture,
):
    memory = MemoryBackend()

    class Failing:
        def send(self, event: Any, /) -> None:
            if event["name"] == "1":
                raise OSError("connection refused")
            memory.send(event)

    with AsyncBackend(Failing()) as backend:
        for number in range(3):
            backend.send(numbered(number))
    assert memory.names == ["0", "2"]
    assert backend.books == Books(sent=3, delivered=2, waiting=0, lost={Loss.FAILED: 1})
    (record,) = caplog.records
    assert "'1'" in record.getMessage()
    assert record.exc_info[0] is OSError


def test_what_the_backend_takes_and_returns_false_for_counts_as_failed():
    class Refusing:
        def send(self, _: Any, /) -> bool:
            return False

    with AsyncBackend(Refusing()) as backend:
        backend.send(numbered(0))
    assert backend.books == Books(sent=1, delivered=0, waiting=0, lost={Loss.FAILED: 1})


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_worker_that_ends_is_replaced_and_its_event_is_counted():
    memory = MemoryBackend()

    class Exiting:
        def send(self, event: Any, /) -> None:
            if event["name"] == "0":
                raise SystemExit
            memory.send(event)

    before = set(threading.enumerate())
    backend = AsyncBackend(Exiting())
    backend.send(numbered(0))
    wait_until(lambda: backend.books.waiting == 0, "the event is gone")
    wait_until(lambda: set(threading.enumerate()) <= before, "so is the thread")
    backend.send(numbered(1))
    assert backend.close(DEADLINE_SECONDS)
    assert memory.names == ["1"]
    assert backend.books == Books(sent=2, delivered=1, waiting=0, lost={Loss.FAILED: 1})


# --- when it is full -------------------------------------------------------------------------------------


def test_when_full_the_newest_event_is_lost_by_default_and_counted(caplog: pytest.LogCaptureFixture):
    with stuck(max_events=2) as (backend, gate):
        for number in (1, 2, 3, 4):
            backend.send(numbered(number))
        assert backend.books == Books(sent=5, delivered=0, waiting=3, lost={Loss.FULL: 2})
        gate.opened.set()
        assert backend.flush(DEADLINE_SECONDS)
        assert gate.names == ["0", "1", "2"]
    (record,) = caplog.records  # the first, and not the second within a minute
    assert record.levelno == logging.WARNING
    assert "events lost so far: full: 1, the last '3'" in record.getMessage()


def test_when_full_the_oldest_event_is_lost_where_that_is_wanted():
    with stuck(max_events=2, when_full="drop_oldest") as (backend, gate):
        for number in (1, 2, 3, 4):
            backend.send(numbered(number))
        assert backend.books.lost == {Loss.FULL: 2}
        gate.opened.set()
        assert backend.flush(DEADLINE_SECONDS)
        assert gate.names == ["0", "3", "4"]


def test_when_full_send_waits_until_an_event_is_taken_where_that_is_wanted():
    passes = threading.Semaphore(0)

    class Turnstile(MemoryBackend):
        def send(self, event: Any, /) -> None:
            assert passes.acquire(timeout=DEADLINE_SECONDS)
            super().send(event)

    turnstile = Turnstile()
    with AsyncBackend(turnstile, max_events=1, when_full="block") as backend:
        backend.send(numbered(0))
        backend.send(numbered(1))  # waits until the worker has taken 0, or there would be no room
        sender = threading.Thread(target=backend.send, args=(numbered(2),))
        sender.start()
        assert backend.books == Books(sent=2, delivered=0, waiting=2, lost={})
        passes.release()  # 0 is delivered and 1 taken
        sender.join(DEADLINE_SECONDS)
        assert not sender.is_alive()
        passes.release(2)
        assert backend.flush(DEADLINE_SECONDS)
        assert turnstile.names == ["0", "1", "2"]


def test_a_backend_that_sends_to_the_one_before_it_never_waits_for_itself():
    class Echo(MemoryBackend):
        def send(self, event: Any, /) -> None:
            super().send(event)
            if event["name"] == "0":
                assert full.wait(DEADLINE_SECONDS)
                backend.send({"name": "echo"})

    full, echo = threading.Event(), Echo()
    backend = AsyncBackend(echo, max_events=1, when_full="block")
    backend.send(numbered(0))
    backend.send(numbered(1))  # waits until the worker has taken 0
    full.set()
    assert backend.flush(DEADLINE_SECONDS)
    backend.close()
    assert echo.names == ["0", "1"]
    assert backend.books == Books(sent=3, delivered=2, waiting=0, lost={Loss.FULL: 1})


def test_a_sender_that_waits_for_room_is_let_go_as_soon_as_close_begins():
    with stuck(max_events=1, when_full="block") as (backend, gate):
        backend.send(numbered(1))
        sender = threading.Thread(target=backend.send, args=(numbered(2),))
        closer = threading.Thread(target=backend.close, args=(DEADLINE_SECONDS,))
        sender.start()
        closer.start()
        sender.join(DEADLINE_SECONDS)
        assert not sender.is_alive()
        assert backend.books == Books(3, 0, 2, {Loss.CLOSED: 1})
        gate.opened.set()
        closer.join(DEADLINE_SECONDS)
        assert backend.books == Books(3, 2, 0, {Loss.CLOSED: 1})


@given(
    st.lists(st.sampled_from(["send", "flush", "close"]), max_size=30),
    st.integers(1, 3),
    st.sampled_from(["drop_newest", "drop_oldest", "block"]),
    st.sets(st.integers(0, 30)),
)
def test_the_books_balance_and_everything_delivered_was_sent_once(
    steps: list[str], max_events: int, when_full: Any, failing: set[int]
):
    logging.disable()
    delivered: list[int] = []

    class Some:
        def send(self, event: Any, /) -> None:
            if int(event["name"]) in failing:
                raise LookupError
            delivered.append(int(event["name"]))

    with AsyncBackend(Some(), max_events=max_events, when_full=when_full) as backend:
        for number, step in enumerate(steps):
            if step == "send":
                backend.send(numbered(number))
            else:
                getattr(backend, step)()
            assert in_balance(backend.books)
    logging.disable(logging.NOTSET)
    books = backend.books
    assert (books.waiting, books.delivered, books.sent) == (0, len(delivered), steps.count("send"))
    assert delivered == sorted(set(delivered))


# --- the end ---------------------------------------------------------------------------------------------


def test_close_delivers_what_waits_and_says_so():
    memory = MemoryBackend()
    backend = AsyncBackend(memory)
    for number in range(10):
        backend.send(numbered(number))
    assert backend.close(DEADLINE_SECONDS)
    assert len(memory.events) == 10
    assert backend.close(0)  # again, for good measure


def test_close_counts_what_it_had_no_time_for(caplog: pytest.LogCaptureFixture):
    with stuck() as (backend, gate):
        backend.send(numbered(1))
        assert not backend.close(0)
        assert backend.books == Books(sent=2, delivered=0, waiting=1, lost={Loss.UNFINISHED: 1})
        gate.opened.set()
        assert backend.flush(DEADLINE_SECONDS)
        assert backend.books == Books(sent=2, delivered=1, waiting=0, lost={Loss.UNFINISHED: 1})
    assert "unfinished" in caplog.text


def test_an_event_sent_after_close_is_lost_and_counted(caplog: pytest.LogCaptureFixture):
    memory = MemoryBackend()
    backend = AsyncBackend(memory)
    backend.close()
    Tracker({"async": backend}).emit("late")
    assert memory.events == []
    assert backend.books.lost == {Loss.CLOSED: 1}
    assert "'late'" in caplog.text


def run(program: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stderr == ""
    return done.stdout


SLOW = """
import os, sys, time
from eventpub.tracking import AsyncBackend, MemoryBackend
class Slow:
    def send(self, event):
        time.sleep(0.01)
        print(event["name"], flush=True)
backend = AsyncBackend(Slow())
for number in range(20):
    backend.send({"name": number})
"""


def test_what_waits_at_exit_is_delivered():
    assert run(SLOW).split() == [str(number) for number in range(20)]


CHILDREN = """
import multiprocessing, os, sys, time
from eventpub.tracking import AsyncBackend
class Slow:
    def send(self, event):
        time.sleep(0.01)
        os.write(1, (event["name"] + os.linesep).encode())  # at one stroke: all write to one pipe
backend = AsyncBackend(Slow())
def run(generation):
    child = multiprocessing.get_context(sys.argv[1]).Process(target=work, args=(generation,))
    child.start()
    child.join()
def work(generation):
    for number in range(10):
        backend.send({"name": f"{generation}.{number}"})
    if generation < 3:
        run(generation + 1)
if __name__ == "__main__":
    work(1)
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_what_waits_at_the_end_of_children_of_multiprocessing_is_delivered(method: str, tmp_path: Path):
    program = tmp_path / "children.py"
    program.write_text(CHILDREN, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", str(program), method],  # of forks beside threads
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert sorted(done.stdout.split()) == [f"{generation}.{n}" for generation in (1, 2, 3) for n in range(10)]


def test_what_waits_is_delivered_by_a_greenlet_where_gevent_has_patched_the_threads():
    program = f"""
from gevent import monkey; monkey.patch_all()
{SLOW}
from gevent import Greenlet
import gc
workers = [each for each in gc.get_objects() if isinstance(each, Greenlet) and not each.dead]
assert len(workers) == 1, workers
assert backend.flush(20)
print(backend.books.delivered)
"""
    assert run(program).split() == [*(str(number) for number in range(20)), "20"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("deliver", [AsyncBackend.flush, AsyncBackend.close])
def test_what_waits_when_a_worker_ends_is_delivered_by_another(
    deliver: Callable[..., bool], caplog: pytest.LogCaptureFixture
):
    ended: list[threading.Thread] = []

    class Exiting(Gate):
        def send(self, event: Any, /) -> None:
            super().send(event)
            if event["name"] == "0":
                ended.append(threading.current_thread())
                raise SystemExit(1)

    gate = Exiting()
    backend = AsyncBackend(gate)
    for number in range(3):
        backend.send(numbered(number))
    gate.opened.set()
    assert deliver(backend, DEADLINE_SECONDS)
    ended[0].join(DEADLINE_SECONDS)  # or the next test would hear of it
    assert backend.books == Books(sent=3, delivered=2, waiting=0, lost={Loss.FAILED: 1})
    assert "failed on event '0'" in caplog.text


# --- forks and signals -----------------------------------------------------------------------------------


def test_a_child_delivers_what_it_sends_and_nothing_that_waits_in_its_parent():
    with stuck() as (backend, gate):
        backend.send(numbered(1))

        def child() -> tuple[Any, ...]:
            gate.opened.set()
            backend.send({"name": "of the child"})
            return backend.close(DEADLINE_SECONDS), gate.names, backend.books

        assert in_child(child) == (True, ["of the child"], Books(1, 1, 0, {}))
        gate.opened.set()
        assert backend.flush(DEADLINE_SECONDS)
        assert gate.names == ["0", "1"]


def test_a_child_can_send_whoever_held_the_lock_when_it_was_forked():
    backend = AsyncBackend(MemoryBackend())
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with backend._changed:
            held.set()
            release.wait(DEADLINE_SECONDS)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(DEADLINE_SECONDS)
    try:
        assert in_child(lambda: (backend.send(numbered(0)), backend.close(DEADLINE_SECONDS))[1])
    finally:
        release.set()
        holder.join()
    backend.close()


def test_what_was_closed_before_a_fork_is_closed_in_the_child():
    backend = AsyncBackend(MemoryBackend())
    backend.close()
    assert in_child(lambda: (backend.send(numbered(0)), backend.books.lost)[1]) == {Loss.CLOSED: 1}


def test_a_signal_handler_may_send_while_its_thread_is_sending():
    memory = MemoryBackend()
    with AsyncBackend(memory) as backend:
        previous = signal.signal(signal.SIGUSR1, lambda *_: backend.send({"name": "of the handler"}))
        try:
            with backend._changed:  # as `send` does
                os.kill(os.getpid(), signal.SIGUSR1)
                backend.send(numbered(0))
        finally:
            signal.signal(signal.SIGUSR1, previous)
    assert sorted(memory.names) == ["0", "of the handler"]


# --- what is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"backend": object()}, "backend: .* has no send"),
        ({"max_events": 0}, "max_events: 0 is too few"),
        ({"when_full": "explode"}, "when_full: 'explode' is none of drop_newest, drop_oldest, block"),
    ],
)
def test_what_makes_no_sense_is_a_value_error(settings: dict[str, Any], problem: str):
    with pytest.raises(ValueError, match=problem):
        AsyncBackend(**{"backend": MemoryBackend(), **settings})
