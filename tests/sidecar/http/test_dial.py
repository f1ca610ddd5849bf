"""Which of a name's addresses is connected to, and how long that takes: `sidecar/http/dial.py`."""

from __future__ import annotations

import contextlib
import errno
import socket
import time
from collections.abc import Callable, Iterator

import pytest
from support.ports import free_port
from support.waiting import DEADLINE_SECONDS

from eventpub.sidecar.http.dial import Dialer
from eventpub.sidecar.http.patience import Patience

Lookup = Callable[..., list[tuple[object, ...]]]
TIMEOUT_SECONDS = 2.0


@contextlib.contextmanager
def listening(host: str, port: int = 0) -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
        yield listener


@contextlib.contextmanager
def swallowing(*hosts: str, port: int) -> Iterator[None]:
    """Addresses whose host drops every SYN: nobody accepts, and the backlog is full."""
    with contextlib.ExitStack() as stack:
        for host in hosts:
            listener = stack.enter_context(socket.socket())
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            listener.listen(0)
            for _ in range(3):
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex((host, port))
        yield


def resolving(*hosts: str) -> Lookup:
    """A name server that knows these addresses of every name."""

    def lookup(_: str, port: int, **__: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in hosts]

    return lookup


def dial(dialer: Dialer, port: int, timeout_seconds: float = TIMEOUT_SECONDS) -> tuple[str, float]:
    """Return the address that was connected to, and how long that took."""
    started = time.monotonic()
    patience = Patience(timeout_seconds, 3 * timeout_seconds)
    with contextlib.closing(dialer.dial("collector.example", port, patience)) as connected:
        return connected.getpeername()[0], time.monotonic() - started


def test_dead_addresses_do_not_keep_the_live_one_from_being_reached():
    """B9: each took a whole timeout of the three that an attempt has."""
    with listening("127.0.0.9") as alive:
        port = alive.getsockname()[1]
        dead = ("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5")
        with swallowing(*dead, port=port):
            dialer = Dialer(resolving(*dead, "127.0.0.9"))
            address, first_seconds = dial(dialer, port)
            assert (address, first_seconds < TIMEOUT_SECONDS) == ("127.0.0.9", True)
            address, second_seconds = dial(dialer, port)
            assert (address, second_seconds < first_seconds / 2) == ("127.0.0.9", True)


def test_however_many_are_dead_each_attempt_comes_to_others():
    with listening("127.0.0.99") as alive:
        port = alive.getsockname()[1]
        dead = [f"127.0.0.{number}" for number in range(2, 42)]  # 40 tenths of a timeout; an attempt has 30
        with swallowing(*dead, port=port):
            dialer = Dialer(resolving(*dead, "127.0.0.99"))
            with pytest.raises(TimeoutError):
                dial(dialer, port, timeout_seconds=0.2)
            reached = ""
            for _ in range(len(dead)):  # the second time, unless the machine is busy
                with contextlib.suppress(TimeoutError):
                    reached = reached or dial(dialer, port, timeout_seconds=0.2)[0]
            assert reached == "127.0.0.99"


def test_the_address_that_worked_last_is_left_when_it_dies():
    with listening("127.0.0.2") as first:
        port = first.getsockname()[1]
        with listening("127.0.0.3", port):
            dialer = Dialer(resolving("127.0.0.2", "127.0.0.3"))
            assert dial(dialer, port)[0] == "127.0.0.2"
            first.close()
            assert dial(dialer, port)[0] == "127.0.0.3"
            with listening("127.0.0.2", port):
                assert dial(dialer, port)[0] == "127.0.0.3"  # which worked last


def test_an_address_that_the_name_no_longer_has_is_forgotten():
    with listening("127.0.0.2") as first:
        port = first.getsockname()[1]
        known = resolving("127.0.0.2")("", port)
        dialer = Dialer(lambda *_, **__: known)
        assert dial(dialer, port)[0] == "127.0.0.2"
        known[:] = resolving("127.0.0.3")("", port)
        with pytest.raises(ConnectionRefusedError):
            dial(dialer, port)


def test_what_each_address_said_is_told():
    dialer = Dialer(resolving("127.0.0.2", "127.0.0.3"))
    port = free_port()
    with pytest.raises(ConnectionRefusedError) as error:
        dial(dialer, port)
    assert error.value.strerror == (
        f"127.0.0.2 port {port}: Connection refused; 127.0.0.3 port {port}: Connection refused"
    )


def test_an_address_without_a_way_there_does_not_hide_what_the_others_said():
    def lookup(_: str, port: int, **__: object) -> list[tuple[object, ...]]:
        nowhere = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("255.255.255.255", port))
        return [nowhere, *resolving("127.0.0.2")("", port), nowhere]

    port = free_port()
    with pytest.raises(ConnectionRefusedError):
        dial(Dialer(lookup), port)


def test_the_phase_tells_what_was_waited_for():
    patience = Patience(DEADLINE_SECONDS, DEADLINE_SECONDS)

    def lookup(*_: object, **__: object) -> list[tuple[object, ...]]:
        assert patience.phase == "looking up the address of collector.example"
        raise socket.gaierror(socket.EAI_AGAIN, "no name server")

    with pytest.raises(socket.gaierror):
        Dialer(lookup).dial("collector.example", 80, patience)
    with pytest.raises(ConnectionRefusedError):
        Dialer(resolving("127.0.0.2")).dial("collector.example", free_port(), patience)
    assert patience.phase.startswith("connecting to 127.0.0.2 port ")


def test_no_error_of_the_kernel_is_lost():
    with pytest.raises(OSError, match=r"255\.255\.255\.255 port 80") as error:
        Dialer(resolving("255.255.255.255")).dial("x", 80, Patience(1, 1))
    assert error.value.errno in {errno.ENETUNREACH, errno.EACCES, errno.EHOSTUNREACH}
