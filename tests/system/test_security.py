"""A whole sidecar among strangers: whom it sends to, and who gets to see its secret."""

from __future__ import annotations

import base64
import os
import re
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.collector_process import CollectorProcess
from support.nursery import Nursery
from support.paths import CERTIFICATES
from support.rigs import Run, killed_at_the_end
from support.sidecar_process import SidecarProcess
from support.waiting import wait_until

from eventpub.cli.exit_codes import EXIT_BROKEN
from eventpub.queue.message_queue import MessageQueue

TLS = {"tls.certificate": str(CERTIFICATES / "server.pem"), "tls.key": str(CERTIFICATES / "server.pem")}
OWN_CA = {"collector_ca_file": str(CERTIFICATES / "ca.pem")}
CLIENT = {"collector_client_certificate": str(CERTIFICATES / "client.pem")}
BASE = {"collector_version": "2j", "collector_scheme": "", "shutdown_timeout": "100 ms"}

Collect = Callable[..., CollectorProcess]


@pytest.fixture
def collect(nursery: Nursery, tmp_path: Path) -> Iterator[Collect]:
    """Start a collector with these settings."""
    started: list[CollectorProcess] = []

    def start(**options: object) -> CollectorProcess:
        started.append(CollectorProcess(tmp_path, faults=None, nursery=nursery, **options))
        return started[-1]

    yield start
    for collector in started:
        collector.stop()


@pytest.fixture
def run(tmp_path: Path, queue_name: str) -> Iterator[Run]:
    """Start a sidecar with these INI keys, `collector.scheme` at its default."""

    def make(port: int, **keys: str) -> SidecarProcess:
        return SidecarProcess(tmp_path, queue_name, port, **{**BASE, **keys})

    with killed_at_the_end(make) as start:
        yield start


def delivers(
    sidecar: SidecarProcess, queue: MessageQueue, collector: CollectorProcess, *, kept: int = 0
) -> None:
    """Send an event, and find it, what was kept before, and nothing else in the store."""
    assert queue.send(b'{"n":%d}' % kept)
    wait_until(lambda: len(collector.events()) > kept, "the event is stored")
    assert sidecar.stop() == 0
    assert sorted(row["event"]["n"] for row in collector.events()) == list(range(kept + 1))


def keeps(sidecar: SidecarProcess, queue: MessageQueue, collector: CollectorProcess, logged: str) -> None:
    """Send an event that must not arrive, and find it in the spool after the sidecar has tried."""
    assert queue.send(b'{"n":0}')
    wait_until(lambda: re.search(logged, sidecar.log()), f"{logged} is logged")
    assert sidecar.stop() == 0
    assert sidecar.ledger()["spooled"] == 1
    assert collector.events() == []


# --- TLS


def test_a_collector_of_an_unknown_authority_gets_nothing_and_everything_is_kept(run, collect, queue):
    collector = collect(settings=TLS)
    keeps(run(collector.port), queue, collector, "certificate verify failed")
    delivers(run(collector.port, **OWN_CA), queue, collector, kept=1)


def test_https_is_what_is_spoken_unless_http_is_asked_for(run, collect, queue):
    collector = collect()
    keeps(run(collector.port), queue, collector, r"(?i)ssl|tls")
    delivers(run(collector.port, collector_scheme="http"), queue, collector, kept=1)


def test_a_collector_that_asks_for_certificates_takes_those_who_have_one(run, collect, queue):
    collector = collect(settings={**TLS, "tls.client_ca": str(CERTIFICATES / "ca.pem")})
    keeps(run(collector.port, **OWN_CA), queue, collector, "kind=(tls|reset)")
    delivers(run(collector.port, **OWN_CA, **CLIENT), queue, collector, kept=1)


# --- signatures


@pytest.mark.parametrize("signature", ["rfc9421", "both"])
def test_a_sidecar_that_signs_by_rfc_9421_is_taken_where_that_is_required(run, collect, queue, signature):
    collector = collect(settings={"require_signature": "rfc9421"})
    delivers(run(collector.port, collector_scheme="http", key_signature=signature), queue, collector)


def test_a_sidecar_that_does_not_is_refused_there_and_everything_is_kept(run, collect, queue):
    collector = collect(settings={"require_signature": "rfc9421"})
    keeps(run(collector.port, collector_scheme="http"), queue, collector, "unauthorized")
    delivers(run(collector.port, collector_scheme="http", key_signature="both"), queue, collector, kept=1)


def test_a_batch_whose_date_is_refused_is_kept_and_sent_again_under_a_new_one(run, collect, queue):
    """`Date` tells no fractions of a second, so a window of 0.2 s refuses four of five attempts."""
    collector = collect(settings={"replay.window": "200 ms"})
    sidecar = run(collector.port, collector_scheme="http", batch_max_age="10 ms")
    sent = 0
    while "date_out_of_window" not in sidecar.log():
        assert queue.send(b'{"n":%d}' % sent)
        sent += 1
        wait_until(lambda expected=sent: len(collector.events()) == expected, "it is stored in the end")
    assert "refuses the date of this host's requests" in sidecar.log()
    assert "rejects this key" not in sidecar.log()
    assert sidecar.stop() == 0
    assert sidecar.ledger() == sidecar.ledger() | {"delivered": sent, "dead": 0, "spooled": 0, "unaccounted": 0}


# --- the secret

SECRET = b"a secret that nobody may see"
SECRETS = (SECRET, base64.b64encode(SECRET), SECRET.hex().encode(), repr(SECRET).encode())


def shown(sidecar: SidecarProcess) -> bytes:
    """Return all that another process can learn of a sidecar without being its user."""
    process = Path(f"/proc/{sidecar.process.pid}")
    children = [path.read_text() for path in process.glob("task/*/children")]
    assert "".join(children) == "", "a child would have the environment"
    return (process / "cmdline").read_bytes() + (process / "environ").read_bytes()


def spooled(sidecar: SidecarProcess) -> bytes:
    return b"".join(path.read_bytes() for path in sidecar.spool.rglob("*") if path.is_file())


@pytest.mark.parametrize("in_a_file", [False, True])
def test_the_secret_is_in_no_log_no_command_line_no_environment_and_no_spool(
    run, collect, queue, tmp_path, in_a_file
):
    """Through deliveries, refusals, reloads, mistakes in the file and a crash, with all that --debug logs."""
    collector = collect(keys={"test": SECRET})
    secret_file = tmp_path / "secret"
    secret_file.write_bytes(base64.b64encode(SECRET))
    secret_file.chmod(0o600)
    key = {"key_secret": "", "key_secret_file": str(secret_file)}
    key = key if in_a_file else {"key_secret": base64.b64encode(SECRET).decode()}
    sidecar = run(collector.port, collector_scheme="http", **key)
    sidecar.kill()
    sidecar.start("--debug")
    assert queue.send(b'{"n":1}')
    wait_until(collector.events, "an event is stored")

    collector.stop()
    assert queue.send(b'{"n":2}')
    wait_until(lambda: "refused" in sidecar.log(), "a failure is logged")
    seen = shown(sidecar) + spooled(sidecar)

    broken = base64.b64encode(SECRET).decode() + "!"
    sidecar.configure(key_secret=broken, key_secret_file="")
    sidecar.signal(signal.SIGHUP)
    wait_until(lambda: "reload failed" in sidecar.log(), "a mistake is logged")
    sidecar.configure(**key)
    sidecar.signal(signal.SIGHUP)
    wait_until(lambda: "reloaded" in sidecar.log(), "the reload is logged")
    if in_a_file:
        secret_file.write_text(broken)
        wait_until(lambda: "key.secret_file: expected a secret" in sidecar.log(), "the broken file is logged")
        secret_file.write_bytes(base64.b64encode(SECRET))

    resource.prlimit(sidecar.process.pid, resource.RLIMIT_NOFILE, (0, 0))  # and now it cannot even poll
    queue.send(b'{"n":3}')
    assert sidecar.process.wait(20) == EXIT_BROKEN
    seen += sidecar.log_path.read_bytes() + collector.log().encode() + spooled(sidecar)
    assert b"Traceback" in seen
    for secret in SECRETS:
        assert secret not in seen


def test_a_secret_file_that_others_may_read_is_told_once_with_the_command_against_it(
    run, collect, queue, tmp_path
):
    secret_file = tmp_path / "secret"
    secret_file.write_text("aHVudGVyMg==")
    secret_file.chmod(0o644)
    collector = collect()
    sidecar = run(collector.port, collector_scheme="http", key_secret="", key_secret_file=str(secret_file))
    delivers(sidecar, queue, collector)
    assert sidecar.log().count(f"run: chmod o= {secret_file} queue=") == 1


def test_a_secret_file_that_is_replaced_by_one_that_others_may_read_is_told_too(run, collect, tmp_path):
    secret_file = tmp_path / "secret"
    secret_file.write_text("aHVudGVyMg==")
    secret_file.chmod(0o600)
    sidecar = run(collect().port, collector_scheme="http", key_secret="", key_secret_file=str(secret_file))
    fresh = tmp_path / "fresh"
    fresh.write_text("aHVudGVyMg==")
    fresh.chmod(0o644)
    assert "chmod" not in sidecar.log()
    fresh.rename(secret_file)
    wait_until(lambda: f"run: chmod o= {secret_file} queue=" in sidecar.log(), "it is told")


# --- the spool


def test_everything_in_the_spool_is_private_whatever_the_umask(run, collect, queue):
    before = os.umask(0)
    try:
        collector = collect()
        sidecar = run(collector.port, collector_scheme="https")
    finally:
        os.umask(before)
    assert queue.send(b'{"n":1}')
    wait_until(sidecar.batches, "a batch waits")
    everything = [sidecar.spool, *sidecar.spool.rglob("*")]
    assert {path.stat().st_mode & 0o777 for path in everything if path.is_dir()} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in everything if path.is_file()} == {0o600}
