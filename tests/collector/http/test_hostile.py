"""What a real collector answers to those who mean it harm, and what they can make it keep in memory.

Requests of those who have a key are here too: a key may have been stolen. The peak of resident memory is the
kernel's (VmHWM), set back before each attack.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import hmac
import json
import re
import socket
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from pathlib import Path

import pytest
import requests
import zstandard
from support.collector_process import KEY_NAME, SECRET, CollectorProcess
from support.cpu import read_cpu_seconds

from eventpub import wire
from eventpub.wire import http_signature

MIB = 2**20
BODY = b'[{"example": "value"}]'
SLOW = {"timeout.head": "300 ms", "timeout.body": "300 ms", "timeout.idle": "5 s"}


@pytest.fixture(scope="module")
def collector(nursery, tmp_path_factory) -> Iterator[CollectorProcess]:
    """One with the sizes that it has by default."""
    with CollectorProcess(
        tmp_path_factory.mktemp("collector"), settings=SLOW, faults=None, nursery=nursery
    ) as collector:
        assert collector.post(BODY, signed_headers(BODY)).status_code == 200  # everything is imported by now
        yield collector


@contextlib.contextmanager
def at_most(collector: CollectorProcess, mib: float, cpu_seconds: float = 60) -> Iterator[None]:
    """Fail if the collector's resident memory grows by more for any moment, or if it runs for longer."""
    process = Path(f"/proc/{collector.process.pid}")
    (process / "clear_refs").write_text("5")  # VmHWM starts again at what is resident now
    before, ran = peak_bytes(process), read_cpu_seconds(collector.process.pid)
    yield
    assert read_cpu_seconds(collector.process.pid) - ran < cpu_seconds
    grown = (peak_bytes(process) - before) / MIB
    print(f"grew by {grown:.1f} MiB")
    assert grown < mib


def peak_bytes(process: Path) -> int:
    return int(re.search(r"VmHWM:\s+(\d+) kB", (process / "status").read_text())[1]) * 1024


def refused(response: requests.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]


def signed_headers(
    sent: bytes, *, batch_id: str = "batch", age_seconds: float = 0, path: str = "/v2j", secret: bytes = SECRET
) -> dict[str, str]:
    """Return the headers of a request with an HTTP Message Signature and no other."""
    at = time.time() - age_seconds
    headers = {"Date": formatdate(at, usegmt=True), "Idempotency-Key": batch_id}
    request = http_signature.Request("POST", f"http://collector{path}", headers)
    http_signature.sign_request(request, sent, key_name=KEY_NAME, secret=secret, now=at)
    return headers


def post(collector: CollectorProcess, sent: bytes, headers: dict[str, str]) -> requests.Response:
    """Post with these headers, without the X-Signature that `CollectorProcess.post` adds."""
    return requests.post(f"{collector.url}/v2j", data=sent, headers=headers, timeout=30)


# --- connections that hold on ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("drip", "error"),
    [
        (b"POST /v2j HTTP/1.1\r\nX-", b"head_timeout"),
        (b"POST /v2j HTTP/1.1\r\nContent-Length: 999\r\n\r\n[", b"body"),
    ],
)
def test_200_slow_loris_are_answered_with_408_while_others_are_served(collector, drip, error):
    with contextlib.ExitStack() as stack, at_most(collector, 12):
        address = ("127.0.0.1", collector.port)
        slow = [stack.enter_context(socket.create_connection(address, timeout=10)) for _ in range(200)]
        for connection in slow:
            connection.sendall(drip)
        assert collector.post(BODY).status_code == 200
        for connection in slow:
            answer = connection.makefile("rb").read()
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert error in answer


def test_100_oversized_heads_are_refused_with_431_and_not_kept(collector):
    head = b"POST /v2j HTTP/1.1\r\n" + b"X-Long: " + b"x" * (4 * MIB)
    with at_most(collector, 16):
        for _ in range(100):
            with socket.create_connection(("127.0.0.1", collector.port), timeout=10) as connection:
                with contextlib.suppress(ConnectionError):
                    connection.sendall(head[: 256 * 1024])
                assert connection.recv(4096).startswith(b"HTTP/1.1 431 ")


# --- bodies that grow ------------------------------------------------------------------------------------


def test_a_bomb_without_a_right_http_message_signature_is_not_even_unpacked(collector):
    """With one it is unpacked as far as a limit: see `test_a_bomb_is_refused_with_413_and_takes_no_memory`."""
    packer = zstandard.ZstdCompressor().compressobj()
    sent = b"".join(packer.compress(bytes(MIB)) for _ in range(256)) + packer.flush()
    headers = {**signed_headers(sent, secret=b"guessed"), "Content-Encoding": "zstd"}
    with at_most(collector, 3):
        assert refused(post(collector, sent, headers)) == (401, "unauthorized")


def test_bodies_that_wait_for_the_store_are_bounded_together(tmp_path, nursery):
    """20 signed ones of 4 MiB, and the store is locked: all at once they would take 200 MiB."""
    body = b"[" + b",".join([b'{"a":"%s"}' % (b"x" * 100)] * 38_000) + b"]"
    sent = gzip.compress(body, 1)
    settings = {"max_pending_size": "9 MiB", "store.busy_timeout": "1 s"}
    with (
        CollectorProcess(tmp_path, settings=settings, faults=None, nursery=nursery) as collector,
        contextlib.closing(sqlite3.connect(collector.store_path, isolation_level=None)) as other,
        ThreadPoolExecutor(20) as threads,
    ):
        other.execute("BEGIN IMMEDIATE")
        with at_most(collector, 80):
            answers = [
                threads.submit(collector.post, body, {"Content-Encoding": "gzip"}, sent=sent) for _ in range(20)
            ]
            for answer in answers:
                assert answer.result().status_code == 503
                assert answer.result().json()["error"] in ("store_unavailable", "busy")
                assert int(answer.result().headers["Retry-After"]) > 0
        other.execute("ROLLBACK")
        assert collector.post(body, {"Content-Encoding": "gzip"}, sent=sent).status_code == 200


# --- JSON ------------------------------------------------------------------------------------------------

EVENT_2 = b'{"1":{"lst":["rec",1,%s]}}'
DEEP = b"[" * (4 * MIB) + b"]" * (4 * MIB - 100)
HUGE_INTEGER = b"9" * (8 * MIB - 100)


@pytest.mark.parametrize("version", ["2", "2j"])
@pytest.mark.parametrize(
    "event",
    [
        DEEP,
        b'{"a":' * MIB,
        HUGE_INTEGER,
        b"\xff\xfe" * MIB,
        b'"\xed\xa0\x80"',
        b"\0" * MIB,
        b'{"1":{"i64":nan}',
    ],
    ids=["deep arrays", "deep objects", "huge integer", "invalid UTF-8", "surrogate", "zeros", "broken"],
)
def test_what_cannot_be_read_is_refused_with_400_in_bounded_time_and_memory(collector, version, event):
    body = EVENT_2 % event if version == "2" else b"[%s]" % event
    sent = gzip.compress(body, 1)
    with at_most(collector, 80, cpu_seconds=5):
        response = collector.post(body, {"Content-Encoding": "gzip"}, version=version, sent=sent)
    assert refused(response) == (400, "bad_body")
    assert len(response.content) < 1000


@pytest.mark.parametrize(
    ("version", "event"),
    [
        ("2", b'{"1":{"i64":%s}}' % (b"9" * 4000)),
        ("2", b'{"4":{"i64":%s}}' % (b"9" * 4000)),
        ("2", b'{"4":{"i64":1e999}}'),
        ("2j", b'{"a":1e999}'),
        ("2j", b'{"a":"\\ud800"}'),
        ("2j", b"7"),
    ],
)
def test_what_is_json_and_no_event_is_refused_with_422(collector, version, event):
    body = EVENT_2 % event if version == "2" else b"[%s]" % event
    response = collector.post(body, version=version)
    assert refused(response) == (422, "invalid_events")
    assert len(response.content) < 1000


@pytest.mark.parametrize("event", [b"[]", b"{}", b"1"])
def test_millions_of_tiny_events_are_refused_with_413_before_they_are_looked_at(collector, event):
    """The worst there is: 3 bytes of text become an object of 64 bytes and its place in a list."""
    body = b"[" + b",".join([event] * ((8 * MIB - 2) // (len(event) + 1))) + b"]"
    with at_most(collector, 30 * 8, cpu_seconds=5):
        response = collector.post(body, {"Content-Encoding": "gzip"}, sent=gzip.compress(body, 1))
    assert refused(response) == (413, "too_many_events")
    assert response.json()["limit_events"] == 100_000


def test_as_many_events_as_are_allowed_are_stored_in_bounded_memory(collector):
    body = b"[" + b",".join([b'{"a":1}'] * 100_000) + b"]"
    with at_most(collector, 150):
        assert (
            collector.post(body, {"Content-Encoding": "gzip"}, sent=gzip.compress(body, 1)).status_code == 200
        )


# --- whose request it is ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "signature",
    [
        wire.signature("unknown", SECRET, BODY),
        wire.signature("", SECRET, BODY),
        f"key=, mac={wire.mac(SECRET, BODY)}",
        wire.signature("test", b"", BODY),
        wire.signature("unknown", b"", BODY),
        f"key=test, mac={hmac.digest(SECRET, BODY, 'sha1').hex()}",
        f"key=test, mac={hmac.digest(SECRET, BODY, 'sha512').hex()}",
        f"key=test, alg=none, mac={wire.mac(SECRET, BODY)}",
        f"key=test, mac={wire.mac(SECRET, BODY)}, key=test, mac={wire.mac(SECRET, BODY)}",
        f"{wire.signature('test', b'guess', BODY)},{wire.signature('test', SECRET, BODY)}",
        f"key=test, mac={base64.b64encode(hmac.digest(SECRET, BODY, 'sha256')).decode()}",
        "key=test, mac=none",
        "key=test, mac=",
    ],
)
def test_no_signature_of_another_key_or_algorithm_is_taken(collector, signature):
    assert refused(collector.post(BODY, {"X-Signature": signature})) == (401, "unauthorized")


@pytest.mark.parametrize("second", [b"X-Signature", b"x-signature"])
def test_two_signature_headers_are_none(collector, second):
    """Or one reader would look at the first, and another at the last."""
    value = wire.signature("test", SECRET, BODY).encode()
    with socket.create_connection(("127.0.0.1", collector.port), timeout=10) as connection:
        connection.sendall(
            b"POST /v2j HTTP/1.1\r\nContent-Length: %d\r\nX-Signature: %s\r\n%s: %s\r\n\r\n%s"
            % (len(BODY), value, second, value, BODY)
        )
        assert connection.recv(4096).startswith(b"HTTP/1.1 401 ")


def test_a_header_with_underscores_is_not_taken_for_one_with_dashes(collector):
    """WSGI has one name for both: a proxy that lets the one through unchecked would let in the other."""
    value = wire.signature("test", SECRET, BODY).encode()
    with socket.create_connection(("127.0.0.1", collector.port), timeout=10) as connection:
        connection.sendall(
            b"POST /v2j HTTP/1.1\r\nContent-Length: %d\r\nX_Signature: %s\r\n\r\n%s" % (len(BODY), value, BODY)
        )
        assert connection.recv(4096).startswith(b"HTTP/1.1 401 ")


def test_every_signature_of_a_request_must_be_right_and_of_one_key(nursery, tmp_path):
    with CollectorProcess(
        tmp_path, keys={KEY_NAME: SECRET, "other": b"another"}, faults=None, nursery=nursery
    ) as collector:
        right, wrong = signed_headers(BODY), signed_headers(BODY, secret=b"guessed")
        x_signature = {"X-Signature": wire.signature(KEY_NAME, SECRET, BODY)}
        of_other = {"X-Signature": wire.signature("other", b"another", BODY)}
        assert post(collector, BODY, {**right, **x_signature}).status_code == 200
        assert post(collector, BODY, right).status_code == 200
        assert post(collector, BODY, of_other).status_code == 200
        for headers in (
            {**wrong, **x_signature},
            {**right, "X-Signature": "nonsense"},
            {**right, **of_other},
            {**x_signature, "Signature": right["Signature"]},
            {**x_signature, "Signature-Input": right["Signature-Input"]},
            {**x_signature, "Signature": "", "Signature-Input": ""},
            {name: value for name, value in right.items() if name != "Content-Digest"},
        ):
            assert refused(post(collector, BODY, headers)) == (401, "unauthorized"), headers


def test_a_sender_that_has_to_sign_by_rfc_9421_cannot_do_with_less(nursery, tmp_path):
    with CollectorProcess(
        tmp_path, settings={"require_signature": "rfc9421"}, faults=None, nursery=nursery
    ) as collector:
        assert refused(collector.post(BODY)) == (401, "unauthorized")
        assert collector.post(BODY, signed_headers(BODY)).status_code == 200
        assert post(collector, BODY, signed_headers(BODY)).json()["duplicate"] is True
        sent = gzip.compress(BODY)
        packed = {**signed_headers(sent, batch_id="packed"), "Content-Encoding": "gzip"}
        assert post(collector, sent, packed).status_code == 200
        unpacked = {**signed_headers(BODY, batch_id="unpacked"), "Content-Encoding": "gzip"}
        assert refused(post(collector, sent, unpacked)) == (401, "unauthorized")
        assert refused(post(collector, BODY, signed_headers(BODY, path="/v2"))) == (401, "unauthorized")


# --- recorded requests -----------------------------------------------------------------------------------


def test_a_recorded_request_is_a_duplicate_and_once_it_is_old_refused(nursery, tmp_path):
    settings = {"require_signature": "rfc9421", "replay.window": "2 s"}
    with CollectorProcess(tmp_path, settings=settings, faults=None, nursery=nursery) as collector:
        recorded = signed_headers(BODY)
        assert post(collector, BODY, recorded).json()["duplicate"] is False
        assert post(collector, BODY, recorded).json()["duplicate"] is True
        for change in ({"Idempotency-Key": "another"}, {"Date": formatdate(time.time() + 1, usegmt=True)}):
            assert refused(post(collector, BODY, {**recorded, **change})) == (401, "unauthorized")
        answer = post(collector, BODY, signed_headers(BODY, age_seconds=4))
        assert refused(answer) == (401, "date_out_of_window")
        assert "Date is more than 2 s from the collector's clock" in answer.json()["reason"]
        assert answer.headers["WWW-Authenticate"]
        assert refused(post(collector, BODY, signed_headers(BODY, age_seconds=-4))) == (
            401,
            "date_out_of_window",
        )
        assert len(collector.events()) == 1


@pytest.mark.parametrize(
    ("age_seconds", "status"), [(0, 200), (-590, 200), (590, 200), (-610, 401), (610, 401), (86400, 401)]
)
def test_the_window_is_ten_minutes_so_that_five_minutes_of_retries_under_one_date_pass(
    collector, age_seconds, status
):
    """As baseplate's publisher sends them; X-Signature does not cover the date."""
    date = formatdate(time.time() - age_seconds, usegmt=True)
    assert collector.post(BODY, {"Date": date}).status_code == status


@pytest.mark.parametrize("date", ["", "yesterday", "0", "Thu, 01 Jan 1970 00:00:00 GMT, now"])
def test_what_is_no_date_is_refused(collector, date):
    assert refused(collector.post(BODY, {"Date": date})) == (401, "date_out_of_window")


def test_a_request_without_a_date_passes_unless_its_signature_has_to_cover_it(collector):
    assert collector.post(BODY).status_code == 200
    undated = {name: value for name, value in signed_headers(BODY).items() if name != "Date"}
    assert refused(post(collector, BODY, undated)) == (401, "unauthorized")


def test_a_window_of_0_is_none(nursery, tmp_path):
    with CollectorProcess(tmp_path, settings={"replay.window": "0"}, faults=None, nursery=nursery) as collector:
        for headers in (signed_headers(BODY, age_seconds=10**8), signed_headers(BODY, age_seconds=-(10**8))):
            assert post(collector, BODY, headers).status_code == 200
        assert collector.post(BODY, {"Date": "yesterday"}).status_code == 200


# --- afterwards ------------------------------------------------------------------------------------------


def test_the_collector_went_through_all_that_without_a_traceback(collector):
    assert collector.post(b"[%s]" % json.dumps({"still": "there"}).encode()).status_code == 200
    assert "Traceback" not in collector.log()
    assert SECRET.decode() not in collector.log()
