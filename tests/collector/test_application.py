"""What a request to a running collector is answered with, and what is stored then."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import resource
import socket
import sqlite3
import uuid
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
import zstandard
from support.collector_process import KEY_NAME, SECRET, CollectorProcess
from support.waiting import wait_until

from eventpub import wire
from eventpub.collector.application import Application
from eventpub.collector.config import Config, Settings
from eventpub.collector.encodings import ACCEPTED
from eventpub.collector.events import Schemas

KEYS = {KEY_NAME: SECRET, "rotating": (b"old secret", b"new secret")}
SETTINGS = {
    "max_compressed_size": "64 KiB",
    "max_body_size": "256 KiB",
    "store.busy_timeout": "100 ms",
}
BODY = b'[{"example": "value"}]'
MAC = "7c46d56b99cd4cb05e08238c1d4c10a2f330795e9d7327f17cc66fd206bf1179"
EVENT_2 = b'{"1":{"str":"shop"},"2":{"str":"buy"},"3":{"str":"tea"}}'


@pytest.fixture(scope="module")
def collector(nursery, tmp_path_factory) -> Iterator[CollectorProcess]:
    folder = tmp_path_factory.mktemp("collector")
    with CollectorProcess(folder, keys=KEYS, settings=SETTINGS, nursery=nursery) as collector:
        yield collector


@pytest.fixture
def batch_id() -> str:
    return uuid.uuid4().hex


def identified(batch_id: str, **more: str) -> dict[str, str]:
    return {"Idempotency-Key": batch_id, **more}


def refused(response: requests.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]


def stored(collector: CollectorProcess, batch_id: str) -> list[object]:
    return [row["event"] for row in collector.events(batch_id)]


# --- taking a batch --------------------------------------------------------------------------------------


def test_the_wire_is_this_byte_for_byte(collector):
    with socket.create_connection(("127.0.0.1", collector.port), timeout=10) as connection:
        connection.sendall(
            b"POST /v2j HTTP/1.1\r\n"
            b"Host: collector\r\n"
            b"Content-Type: application/json\r\n"
            b"Content-Length: 22\r\n"
            b"X-Signature: key=test, mac=7c46d56b99cd4cb05e08238c1d4c10a2f330795e9d7327f17cc66fd206bf1179\r\n"
            b"Idempotency-Key: 0123456789abcdef0123456789abcdef\r\n"
            b"X-Attempt: 1\r\n"
            b"X-Event-Count: 1\r\n"
            b"\r\n"
            b'[{"example": "value"}]'
        )
        connection.shutdown(socket.SHUT_WR)
        answer = connection.makefile("rb").read()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
    assert body == b'{"batch_id": "0123456789abcdef0123456789abcdef", "events": 1, "duplicate": false}\n'
    (row,) = collector.events("0123456789abcdef0123456789abcdef")
    assert (row["key_name"], row["version"], row["event"]) == ("test", "2j", {"example": "value"})


def test_a_version_2_batch_is_stored_by_field_names(collector, batch_id):
    body = b'{"1":{"lst":["rec",2,%s,%s]}}' % (EVENT_2, EVENT_2)
    assert collector.post(body, identified(batch_id), version="2").json()["events"] == 2
    assert stored(collector, batch_id) == [{"source": "shop", "action": "buy", "noun": "tea"}] * 2
    (row, _) = collector.events(batch_id)
    assert (row["version"], row["source"], row["action"], row["noun"]) == ("2", "shop", "buy", "tea")


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("gzip", gzip.compress),
        ("zstd", zstandard.compress),
        ("identity", bytes),
        ("GZIP", gzip.compress),
        ("x-gzip", gzip.compress),
        ("gzip,", gzip.compress),
        ("", bytes),
        (",", bytes),
    ],
)
def test_the_signature_is_that_of_the_uncompressed_body(collector, batch_id, encoding, encode):
    headers = identified(batch_id, **{"X-Signature": f"key=test, mac={MAC}", "Content-Encoding": encoding})
    assert collector.post(BODY, headers, sent=encode(BODY)).status_code == 200
    assert stored(collector, batch_id) == [{"example": "value"}]


def test_a_chunked_body_is_taken(collector, batch_id):
    response = requests.post(
        f"{collector.url}/v2j",
        data=iter([BODY[:5], BODY[5:6], BODY[6:]]),
        headers=identified(batch_id, **{"X-Signature": f"key=test, mac={MAC}"}),
        timeout=10,
    )
    assert response.status_code == 200
    assert stored(collector, batch_id) == [{"example": "value"}]


def test_every_answer_says_which_encodings_are_taken(collector):
    responses = [
        requests.get(f"{collector.url}/health", timeout=10),
        requests.get(f"{collector.url}/nowhere", timeout=10),
        collector.post(BODY),
        collector.post(BODY, {"X-Signature": ""}),
        collector.post(b"no json"),
    ]
    assert [response.status_code for response in responses] == [200, 404, 200, 401, 400]
    for response in responses:
        assert response.headers["Accept-Encoding"] == ", ".join(ACCEPTED) == "gzip, zstd"
        assert response.headers["Content-Type"] == "application/json"
        assert isinstance(response.json(), dict)


# --- who sent it -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        "nonsense",
        f"key=test, mac={'0' * 64}",
        f"key=unknown, mac={MAC}",
        f"key=rotating, mac={MAC}",
        f"key=test, mac={MAC[:-1]}",
    ],
)
def test_a_client_without_a_key_gets_401_and_always_the_same(collector, batch_id, signature):
    response = collector.post(BODY, identified(batch_id, **{"X-Signature": signature}))
    assert refused(response) == (401, "unauthorized")
    assert response.json() == {
        "error": "unauthorized",
        "reason": "X-Signature is missing, malformed, of an unknown key, or not that of the uncompressed body, "
        "or Signature is not that of the request as it came",
    }
    assert response.headers["WWW-Authenticate"] == 'X-Signature realm="eventpub"'
    assert stored(collector, batch_id) == []


@pytest.mark.parametrize("secret", [b"old secret", b"new secret"])
def test_old_and_new_secrets_work_while_a_key_is_changed(collector, batch_id, secret):
    headers = identified(batch_id, **{"X-Signature": wire.signature("rotating", secret, BODY)})
    assert collector.post(BODY, headers).status_code == 200
    assert [row["key_name"] for row in collector.events(batch_id)] == ["rotating"]


def test_the_signature_of_the_compressed_body_is_not_accepted(collector):
    sent = gzip.compress(BODY)
    headers = {"X-Signature": wire.signature("test", SECRET, sent), "Content-Encoding": "gzip"}
    assert collector.post(BODY, headers, sent=sent).status_code == 401


# --- once ------------------------------------------------------------------------------------------------


def test_a_batch_sent_again_is_a_duplicate_and_stored_once(collector, batch_id):
    answers = [collector.post(BODY, identified(batch_id)).json() for _ in range(3)]
    assert [answer["duplicate"] for answer in answers] == [False, True, True]
    assert stored(collector, batch_id) == [{"example": "value"}]


def test_a_batch_sent_again_in_another_encoding_is_a_duplicate(collector, batch_id):
    collector.post(BODY, identified(batch_id))
    headers = identified(batch_id, **{"Content-Encoding": "gzip"})
    assert collector.post(BODY, headers, sent=gzip.compress(BODY)).json()["duplicate"] is True


def test_another_body_under_the_same_id_is_refused_with_422(collector, batch_id):
    collector.post(BODY, identified(batch_id))
    response = collector.post(b'[{"other": 1}]', identified(batch_id))
    assert refused(response) == (422, "idempotency_key_reused")
    assert "rejected" not in response.json()
    assert stored(collector, batch_id) == [{"example": "value"}]


def test_ids_of_different_keys_do_not_meet(collector, batch_id):
    collector.post(BODY, identified(batch_id))
    headers = identified(batch_id, **{"X-Signature": wire.signature("rotating", b"old secret", b"[{}]")})
    assert collector.post(b"[{}]", headers).json()["duplicate"] is False
    assert stored(collector, batch_id) == [{"example": "value"}, {}]


def test_without_an_id_every_request_is_stored_under_one_of_its_own(collector):
    ids = {collector.post(BODY).json()["batch_id"] for _ in range(2)}
    assert len(ids) == 2
    assert all(stored(collector, batch_id) == [{"example": "value"}] for batch_id in ids)


def test_the_same_id_from_eight_threads_at_once_is_stored_once(collector, batch_id):
    body = wire.container("2j", [b'{"number":%d}' % number for number in range(500)])
    with ThreadPoolExecutor(8) as threads:
        posts = [threads.submit(collector.post, body, identified(batch_id)) for _ in range(8)]
        answers = [post.result() for post in posts]
    assert [answer.status_code for answer in answers] == [200] * 8
    assert sorted(answer.json()["duplicate"] for answer in answers) == [False] + [True] * 7
    assert stored(collector, batch_id) == [{"number": number} for number in range(500)]


@pytest.mark.parametrize("bad_id", ["two words", "x" * 129, "ü"])
def test_an_id_that_could_spoil_logs_is_refused(collector, bad_id):
    assert refused(collector.post(BODY, identified(bad_id.encode()))) == (400, "bad_idempotency_key")


# --- events that are not valid ---------------------------------------------------------------------------


def test_one_invalid_event_refuses_the_batch_by_its_index_and_nothing_is_stored(collector, batch_id):
    body = wire.container("2", [EVENT_2, EVENT_2, b'{"1":{"str":7}}', EVENT_2])
    response = collector.post(body, identified(batch_id), version="2")
    assert refused(response) == (422, "invalid_events")
    assert response.json()["rejected"] == [{"index": 2, "reason": "source: expected text, not 7"}]
    assert response.json()["rejected_count"] == 1
    assert stored(collector, batch_id) == []
    good = wire.container("2", [EVENT_2] * 3)
    assert collector.post(good, identified(batch_id), version="2").status_code == 200


def test_a_count_that_differs_refuses_the_batch_without_blaming_an_event(collector, batch_id):
    response = collector.post(b"[{},{},{}]", identified(batch_id, **{"X-Event-Count": "2"}))
    assert refused(response) == (422, "event_count_differs")
    assert "rejected" not in response.json()
    assert stored(collector, batch_id) == []


@pytest.mark.parametrize(
    ("version", "body"),
    [("2", b"[{}]"), ("2", b"{}"), ("2j", b"{}"), ("2j", b""), ("2j", b"\xff\xfe"), ("2j", b"[" * 9000)],
)
def test_what_is_no_container_is_refused_with_400(collector, version, body):
    assert refused(collector.post(body, version=version)) == (400, "bad_body")


# --- sizes and encodings ---------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "*", "x-zstd"])
def test_other_encodings_are_refused_with_415(collector, encoding):
    assert refused(collector.post(BODY, {"Content-Encoding": encoding})) == (415, "unsupported_encoding")


@pytest.mark.parametrize(
    "sent",
    [b"", b"x", gzip.compress(BODY)[:-1], gzip.compress(BODY) + b"x", zlib.compress(BODY)],
    ids=["nothing", "foreign", "cut", "more behind", "zlib"],
)
def test_a_damaged_encoding_is_refused_with_400(collector, sent):
    assert refused(collector.post(BODY, {"Content-Encoding": "gzip"}, sent=sent)) == (400, "bad_encoding")


def test_a_body_larger_as_sent_is_refused_with_413_even_if_all_of_it_is_sent_first(collector):
    """A sender that were reset instead would never learn that it has to send less."""
    size_bytes = 10 * 1024 * 1024
    with socket.create_connection(("127.0.0.1", collector.port), timeout=10) as connection:
        connection.sendall(b"POST /v2j HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size_bytes)
        connection.sendall(bytes(size_bytes))
        head, _, body = connection.makefile("rb").read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 ")
    assert b"\r\nConnection: close\r\n" in head
    fields = json.loads(body)
    assert (fields["error"], fields["limit_bytes"]) == ("too_large", 64 * 1024)


@pytest.fixture(scope="module")
def lowered(nursery, tmp_path_factory) -> Iterator[CollectorProcess]:
    """A collector that has stored the batch "whole", and was restarted with lower limits."""
    folder = tmp_path_factory.mktemp("lowered")
    with CollectorProcess(folder, keys=KEYS, nursery=nursery) as collector:
        assert collector.post(LARGE, identified("whole")).status_code == 200
        collector.stop()
        collector.configure(max_compressed_size="4 KiB", max_body_size="8 KiB")
        collector.start()
        yield collector


LARGE = b"[" + b",".join(b'{"pad":"%s"}' % uuid.uuid4().hex.encode() for _ in range(400)) + b"]"


@pytest.mark.parametrize("sent", [LARGE, gzip.compress(LARGE), iter([LARGE])], ids=["plain", "gzip", "chunked"])
@pytest.mark.parametrize(
    "ids", [{"Idempotency-Key": "whole"}, {"Idempotency-Key": "part", "X-Parent-Batch": "half, whole"}]
)
def test_a_batch_that_was_stored_is_known_though_it_is_now_too_large(lowered, sent, ids):
    headers = {**ids, **({"Content-Encoding": "gzip"} if sent == gzip.compress(LARGE) else {})}
    response = lowered.post(LARGE, headers, sent=sent if isinstance(sent, bytes) else iter([LARGE]))
    assert (response.status_code, response.json()["duplicate"]) == (200, True)
    assert len(lowered.events()) == 400


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Idempotency-Key": "unknown"},
        {"Idempotency-Key": "unknown", "X-Parent-Batch": "unknown"},
        {"Idempotency-Key": "whole", "X-Signature": f"key=rotating, mac={MAC}"},
        {"Idempotency-Key": "whole", "X-Signature": "garbage"},
        {"Idempotency-Key": "unknown", "X-Parent-Batch": ", ".join(["whole"] * 65)},
    ],
)
def test_a_batch_that_is_too_large_and_unknown_is_refused_with_413(lowered, headers):
    assert refused(lowered.post(LARGE, headers)) == (413, "too_large")


def test_a_part_of_a_stored_batch_is_a_duplicate_and_a_late_parent_is_not_stored(collector, batch_id):
    parts = identified(f"{batch_id}-1", **{"X-Parent-Batch": batch_id})
    assert collector.post(b'[{"n":1}]', parts).json()["duplicate"] is False
    assert refused(collector.post(b'[{"n":1},{"n":2}]', identified(batch_id))) == (409, "taken_apart")
    assert stored(collector, batch_id) == []
    whole = identified(f"{batch_id}-whole")
    collector.post(b'[{"n":1},{"n":2}]', whole)
    parts = identified(f"{batch_id}-2", **{"X-Parent-Batch": f"{batch_id}-half, {batch_id}-whole"})
    assert collector.post(b'[{"n":2}]', parts).json() == {
        "batch_id": f"{batch_id}-2", "events": 1, "duplicate": True,
    }  # fmt: skip
    assert stored(collector, f"{batch_id}-2") == []


@pytest.mark.parametrize("parents", ["\xe4", "x" * 129, ", ".join(["x"] * 65)])
def test_parents_that_are_no_batch_ids_are_refused(collector, batch_id, parents):
    headers = identified(batch_id, **{"X-Parent-Batch": parents.encode("latin-1")})
    assert refused(collector.post(BODY, headers)) == (400, "bad_parent_batch")


def test_a_refusal_names_its_batch(collector, batch_id):
    assert collector.post(b"[7]", identified(batch_id)).json()["batch_id"] == batch_id


def test_a_chunked_body_larger_as_sent_is_refused_with_413(collector):
    response = requests.post(f"{collector.url}/v2j", data=iter([bytes(1024)] * 1024), timeout=10)
    assert refused(response) == (413, "too_large")


def gzip_bomb(size_bytes: int) -> bytes:
    """Zeros in deflate blocks that repeat: made without compressing all of them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = packer.compress(bytes(size_bytes // 64)) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + block * 64


def zstd_bomb(size_bytes: int) -> bytes:
    packer = zstandard.ZstdCompressor().compressobj()
    return b"".join(packer.compress(bytes(2**20)) for _ in range(size_bytes // 2**20)) + packer.flush()


def peak_memory_bytes(collector: CollectorProcess) -> int:
    status = Path(f"/proc/{collector.process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


@pytest.mark.parametrize(("encoding", "bomb"), [("gzip", gzip_bomb), ("zstd", zstd_bomb)])
def test_a_bomb_is_refused_with_413_and_takes_no_memory(collector, encoding, bomb):
    sent = bomb(48 * 2**20)
    assert len(sent) < 64 * 1024
    before = peak_memory_bytes(collector)
    response = collector.post(b"x", {"Content-Encoding": encoding}, sent=sent)
    assert refused(response) == (413, "too_large")
    assert response.json()["limit_bytes"] == 256 * 1024
    assert peak_memory_bytes(collector) - before < 4 * 2**20


# --- other requests --------------------------------------------------------------------------------------


def test_other_paths_are_answered_with_404_and_a_reason(collector):
    response = requests.post(f"{collector.url}/v1", data=BODY, timeout=10)
    assert response.status_code == 404
    assert response.json()["reason"] == "no such path; POST to /v2 or /v2j, GET /health, /livez or /readyz"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v2", "POST, OPTIONS"),
        ("PUT", "/v2j", "POST, OPTIONS"),
        ("POST", "/health", "GET, HEAD, OPTIONS"),
    ],
)
def test_other_methods_are_answered_with_405_and_the_allowed_ones(collector, method, path, allowed):
    response = requests.request(method, collector.url + path, timeout=10)
    assert refused(response) == (405, "method_not_allowed")
    assert response.headers["Allow"] == allowed


def test_health_counts_the_events(collector):
    before = requests.get(f"{collector.url}/health", timeout=10).json()
    collector.post(b"[{},{}]")
    after = requests.get(f"{collector.url}/health", timeout=10).json()
    assert after == {**before, "events_stored": before["events_stored"] + 2}
    assert (before["status"], before["version"]) == ("ok", "0.1.0")


# --- when the store cannot -------------------------------------------------------------------------------


def test_a_locked_store_answers_503_and_takes_the_batch_once_it_is_free(collector, batch_id):
    with contextlib.closing(sqlite3.connect(collector.store_path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        response = collector.post(BODY, identified(batch_id))
        assert refused(response) == (503, "store_unavailable")
        assert response.headers["Retry-After"] == "5"
        assert requests.get(f"{collector.url}/health", timeout=10).status_code == 503
        other.execute("COMMIT")
    assert collector.post(BODY, identified(batch_id)).json()["duplicate"] is False
    assert stored(collector, batch_id) == [{"example": "value"}]


def test_a_full_disk_answers_503_and_takes_the_batch_once_there_is_room(collector, batch_id):
    """A file size limit stands in for the disk: SQLite's writes fail where its files would grow."""
    unlimited = resource.prlimit(collector.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(collector.process.pid, resource.RLIMIT_FSIZE, (1, unlimited[1]))
    try:
        assert refused(collector.post(BODY, identified(batch_id))) == (503, "store_unavailable")
        assert requests.get(f"{collector.url}/health", timeout=10).status_code == 503
    finally:
        resource.prlimit(collector.process.pid, resource.RLIMIT_FSIZE, unlimited)
    assert stored(collector, batch_id) == []
    assert collector.post(BODY, identified(batch_id)).json()["duplicate"] is False
    assert stored(collector, batch_id) == [{"example": "value"}]


def test_a_store_that_was_removed_answers_503_and_says_so_until_a_restart(nursery, tmp_path, batch_id):
    with CollectorProcess(tmp_path, nursery=nursery) as collector:
        assert collector.post(BODY).status_code == 200
        for path in tmp_path.glob("events.sqlite*"):
            path.unlink()
        health = requests.get(f"{collector.url}/health", timeout=10)
        for response in (collector.post(BODY, identified(batch_id)), health):
            assert refused(response) == (503, "store_unavailable")
            assert "the store file was removed or replaced; restart" in response.json()["reason"]
        assert not collector.store_path.exists()
        collector.stop()
        collector.start()
        assert collector.post(BODY, identified(batch_id)).status_code == 200
        assert stored(collector, batch_id) == [{"example": "value"}]


def test_what_was_acknowledged_survives_sigkill(nursery, tmp_path, batch_id):
    with CollectorProcess(tmp_path, nursery=nursery) as collector:
        assert collector.post(BODY, identified(batch_id)).status_code == 200
        collector.kill()
        collector.start()
        assert stored(collector, batch_id) == [{"example": "value"}]
        assert collector.post(BODY, identified(batch_id)).json()["duplicate"] is True


class BrokenStore:
    """A store with a defect, where a working one would say that it is unavailable."""

    def add(self, _batch):
        raise ZeroDivisionError

    def health(self):
        raise ZeroDivisionError

    def close(self):
        raise ZeroDivisionError


def test_a_batch_that_was_taken_is_so_under_tighter_limits_too(nursery, tmp_path):
    """Its first answer may have been lost; refused now, it would be split, and its events stored once more."""
    body, headers = b'[{"n":1},{"n":2}]', identified("0123456789abcdef")
    with CollectorProcess(tmp_path, nursery=nursery) as collector:
        assert collector.post(body, headers).json()["duplicate"] is False
    with CollectorProcess(tmp_path, settings={"max_events": "1"}, nursery=nursery) as collector:
        # how many events it had nobody has counted
        assert collector.post(body, headers).json() == {"batch_id": "0123456789abcdef", "duplicate": True}
        assert refused(collector.post(body, identified("another"))) == (413, "too_many_events")
        assert refused(collector.post(b'[{"n":3},{"n":4}]', headers)) == (413, "too_many_events")
        assert len(collector.events()) == 2


def test_a_defect_is_answered_with_500_and_logged_without_secrets(caplog):
    config = Config(settings=Settings(), secrets={"test": (SECRET,)}, schemas=Schemas())
    environ = {
        "CONTENT_LENGTH": "22",
        "wsgi.input": io.BytesIO(BODY),
        "HTTP_X_SIGNATURE": f"key=test, mac={MAC}",
    }
    environ |= {"REQUEST_METHOD": "POST", "PATH_INFO": "/v2j"}
    started = []
    body = b"".join(Application(config, BrokenStore())(environ, lambda *start: started.append(start)))
    assert started[0][0] == "500 Internal Server Error"
    assert json.loads(body)["error"] == "internal_error"
    assert "ZeroDivisionError" in caplog.text
    assert "hunter2" not in caplog.text
    assert MAC not in caplog.text


# --- the log, last, when much has happened ---------------------------------------------------------------


def test_the_access_log_has_one_line_a_request_and_no_secrets(collector, batch_id):
    requests.get(f"{collector.url}/no\nline?secret=query", timeout=10)
    assert refused(collector.post(BODY, {"X-Signature": "key=test, mac=hunter2"})) == (401, "unauthorized")
    wait_until(lambda: "error=unauthorized" in collector.log(), "the line, which is written after the answer")
    collector.post(BODY, identified(batch_id, **{"X-Attempt": "3", "X-Event-Count": "1"}))
    wait_until(lambda: f"batch={batch_id}" in collector.log(), "the line, which is written after the answer")
    log = collector.log()
    lines = [line for line in log.splitlines() if f"batch={batch_id}" in line]
    assert len(lines) == 1
    assert "method=POST path=/v2j status=200 received_bytes=22 sent_bytes=" in lines[0]
    assert lines[0].endswith(f"key=test batch={batch_id} attempt=3 events=1")
    assert "path='/no\\nline' status=404" in log
    for secret in ("query", MAC, "hunter2", "aHVudGVyMg", "secret", "Traceback"):
        assert secret not in log


# --- probes ----------------------------------------------------------------------------------------------


def test_readyz_says_whether_the_store_can_be_written_and_livez_does_not(collector):
    def probe(path):
        return requests.get(f"{collector.url}{path}", timeout=10).status_code

    assert (probe("/livez"), probe("/readyz"), probe("/health")) == (200, 200, 200)
    with contextlib.closing(sqlite3.connect(collector.store_path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert collector.post(b"[{}]").status_code == 503
        assert (probe("/livez"), probe("/readyz")) == (200, 503)
        other.execute("ROLLBACK")
    wait_until(lambda: probe("/readyz") == 200, "it is ready again, though nobody sent a batch")
