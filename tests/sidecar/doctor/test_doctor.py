"""`eventpub doctor CONFIG.ini`: each thing that a sidecar needs, well and not."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support.collector_process import CollectorProcess
from support.commands import Command, Done, SpoolFolder
from support.line import Line
from support.nursery import Nursery
from support.paths import CERTIFICATES
from support.statsd import Statsd

from eventpub.queue.message_queue import MessageQueue
from eventpub.sidecar.delivery.answer import Answer
from eventpub.sidecar.doctor import collector as collector_checks

Ask = Callable[..., Done]
SECRET = "aHVudGVyMg=="


@pytest.fixture
def eventpub(capfd: pytest.CaptureFixture[str]) -> Command:
    return Command(capfd)


@pytest.fixture
def ask(eventpub: Command, queue: MessageQueue, tmp_path: Path, collector: CollectorProcess) -> Ask:
    """Writes the configuration of the queue's sidecar, good but for what is given, and asks the doctor."""

    def write_and_ask(**keys: object) -> Done:
        wanted = {
            "collector.hostname": collector.hostname,
            "collector.scheme": "http",
            "collector.timeout": "2 s",
            "key.name": "test",
            "key.secret": SECRET,
            "max_queue_size": "10",
            "max_message_size": "8192",
            "spool.dir": str(tmp_path / "spool"),
        } | {name.replace("__", "."): str(value) for name, value in keys.items()}
        lines = "".join(f"{key} = {value}\n" for key, value in wanted.items())
        (tmp_path / "v2.ini").write_text(f"[event-publisher:{queue.name}]\n{lines}")
        return eventpub("doctor", tmp_path / "v2.ini")

    return write_and_ask


def test_what_is_well_is_said_to_be(
    ask: Ask, queue: MessageQueue, tmp_path: Path, collector: CollectorProcess
) -> None:
    with closing(Statsd().socket) as listening:
        done = ask(metrics__endpoint=f"127.0.0.1:{listening.getsockname()[1]}")
    assert (done.code in {0, 1}, done.err) == (True, "")  # 1 for the limits of a fresh kernel
    for said in (
        f"{tmp_path}/v2.ini: [event-publisher:{queue.name}] can be used",
        f"{queue.name}: the queue is as configured",
        f"spool {tmp_path}/spool: sealing a batch takes its disk ",
        f"collector: http://{collector.hostname}/v2 accepts batches signed by this key",
        "collector: its clock and this host's agree",
        "statsd: 127.0.0.1 port",
    ):
        assert f"ok       {said}" in done.out
    assert not (tmp_path / "spool").exists(), "it leaves nothing behind"


def test_nobody_who_listens_is_told_with_the_address(ask: Ask) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        done = ask(collector__hostname=f"127.0.0.1:{port}", metrics__endpoint=f"127.0.0.1:{port}")
    assert done.code == 2
    assert (
        f"failing  collector: nothing answers at 127.0.0.1 port {port}: 127.0.0.1: Connection refused"
        in done.out
    )
    assert f"warning  statsd: 127.0.0.1 port {port}: Connection refused\n         start statsd" in done.out


def test_a_name_without_an_address_is_told(ask: Ask) -> None:
    done = ask(collector__hostname="no-such-host.invalid")
    assert done.code == 2
    assert "failing  collector: no-such-host.invalid cannot be looked up: " in done.out


def test_a_wrong_secret_is_told_with_what_to_check(ask: Ask) -> None:
    done = ask(key__secret="aHVudGVyMw==")
    assert done.code == 2
    assert "/v2 does not accept a signed empty batch: answered 401: " in done.out
    assert "         check key.name, key.secret and key.signature, and this host's clock" in done.out
    assert SECRET not in done.out


def test_a_portal_in_the_collectors_place_is_told(ask: Ask, collector: CollectorProcess) -> None:
    with Line(collector.port) as line:
        line.break_("portal")
        done = ask(collector__hostname=f"127.0.0.1:{line.port}")
    assert done.code == 2
    assert "does not accept a signed empty batch: answered 200: " in done.out
    assert "         check collector.hostname, collector.version and collector.scheme" in done.out


def test_a_certificate_is_told_with_its_days_and_one_of_an_unknown_authority_with_the_remedy(
    ask: Ask, tmp_path: Path, nursery: Nursery
) -> None:
    settings = {"tls.certificate": str(CERTIFICATES / "server.pem")}
    (tmp_path / "tls").mkdir()
    with CollectorProcess(tmp_path / "tls", settings=settings, nursery=nursery) as secure:
        tls = {"collector__hostname": f"localhost:{secure.port}", "collector__scheme": "https"}
        known = ask(**tls, collector__ca_file=CERTIFICATES / "ca.pem")
        unknown = ask(**tls)
        plain = ask(collector__hostname=f"localhost:{secure.port}")
    assert "certificate 'eventpub test server' by 'eventpub test authority', good for " in known.out
    assert "/v2 accepts batches signed by this key" in known.out
    assert unknown.code == 2
    assert "collector.ca_file" in unknown.out
    assert plain.code == 2
    assert "collector.scheme = https" in plain.out


@pytest.mark.parametrize(
    ("not_after", "level"), [("Jan  1 00:00:00 2030 GMT", "OK"), ("Jan 10 00:00:00 2026 GMT", "WARNING")]
)
def test_a_certificate_that_expires_soon_is_a_warning(not_after: str, level: str) -> None:
    new_year = 1_767_225_600.0
    finding = collector_checks._check_certificate({"notAfter": not_after}, "TLSv1.3", new_year)
    assert finding.level.name == level


def test_clocks_that_differ_are_a_warning() -> None:
    answer = Answer.of(200, {"Date": "Thu, 01 Jan 2026 00:00:00 GMT"}, b"{}")
    (finding,) = collector_checks._check_clock(answer)
    assert finding.level.name == "WARNING"
    direction = "behind" if time.time() > 1_767_225_600 else "ahead of"
    assert f" s {direction} this host's" in finding.text


def test_a_queue_that_differs_from_the_file_is_told_with_the_command(ask: Ask, queue: MessageQueue) -> None:
    smaller = ask(max_queue_size="5")
    assert f"warning  {queue.name}: differs from the configuration: it holds 10 messages, not 5" in smaller.out
    assert f"eventpub queue resize {queue.name} --max-messages 5 --max-message-size 8192" in smaller.out
    other = ask(queue__mode="0620")
    assert "its mode is 0600, not 0620" in other.out
    assert f"eventpub queue drop {queue.name}" in other.out


def test_a_spool_that_others_may_write_to_is_told_with_the_command(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir(mode=0o700)
    (tmp_path / "spool").chmod(0o777)
    done = ask()
    assert done.code == 2
    assert f"other users may write to it; run: chmod 700 {tmp_path}/spool" in done.out


def test_a_full_slot_and_dead_letters_are_told(ask: Ask, queue: MessageQueue, tmp_path: Path) -> None:
    spool = SpoolFolder(tmp_path / "spool")
    spool.letter(b"{}", batch_id="a" * 32)
    spool.queue.rename(tmp_path / "spool" / queue.name)
    batch = tmp_path / "spool" / queue.name / "0" / "000000000001.1.batch"
    with batch.open("wb") as file:
        file.truncate(4 * 1024 * 1024)
    done = ask(spool__max_size="4 MiB")
    assert done.code == 2
    assert (
        f"failing  slot 0 of {queue.name}: 4 MiB of 4 MiB: it is full, so the sidecar takes no messages"
        in done.out
    )
    assert f"warning  {queue.name}: 1 dead letter, " in done.out
    assert f"eventpub dead-letters list --queue-name {queue.name} {tmp_path}/v2.ini" in done.out


def test_events_that_wait_for_a_sidecar_are_told_and_an_empty_queue_needs_none_yet(
    ask: Ask, queue: MessageQueue
) -> None:
    assert f"ok       {queue.name}: no sidecar runs now, and the queue is empty" in ask().out
    queue.send(b"{}")
    done = ask()
    assert done.code == 2
    assert f"failing  {queue.name}: no sidecar runs, and 1 event in the queue waits for one" in done.out
    assert "eventpub sidecar --queue-name" in done.out


def test_an_unusable_file_is_told_and_ends_the_matter(ask: Ask, eventpub: Command, tmp_path: Path) -> None:
    done = ask(compresion="gzip")
    assert done.code == 2
    assert (
        "unknown key, did you mean compression" in done.out.replace("(did", "did") or "compresion" in done.out
    )
    (tmp_path / "none.ini").write_text("[collector]\n")
    assert "has no section [event-publisher:NAME]" in eventpub("doctor", tmp_path / "none.ini").out
    assert eventpub("doctor", tmp_path / "missing.ini").code == 2


def test_json_has_every_finding_once(ask: Ask, eventpub: Command, tmp_path: Path) -> None:
    ask()
    done = eventpub("doctor", tmp_path / "v2.ini", "--json")
    document = json.loads(done.out)
    texts = [finding["text"] for finding in document["findings"]]
    assert len(texts) == len(set(texts))
    assert {"ok": 0, "warning": 1, "failing": 2}[document["level"]] == done.code
