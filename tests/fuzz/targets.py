"""What must hold of each reader whatever bytes it gets: for Hypothesis (test_fuzz.py) and atheris (make fuzz).

A target takes bytes and fails by raising. `SEEDS` are what its reader takes for good: where to begin.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import io
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from support.paths import ROOT

from eventpub import wire
from eventpub.collector import config as collector_config
from eventpub.collector.application import Application
from eventpub.collector.encodings import ACCEPTED, Damage, decode_body
from eventpub.collector.events import Schemas
from eventpub.collector.store import Health, Outcome, Receipt
from eventpub.errors import ConfigError
from eventpub.schemas.event.ttypes import Event
from eventpub.serialization.errors import DecodeError
from eventpub.serialization.thrift_json_decode import decode_struct, load_json
from eventpub.serialization.thrift_plain import to_plain
from eventpub.sidecar import config as sidecar_config
from eventpub.sidecar.delivery.answer import MAX_REASON_CHARACTERS, judge_answer
from eventpub.sidecar.delivery.pack import PythonPacker, compiled_packer
from eventpub.sidecar.delivery.payload import Payload
from eventpub.sidecar.delivery.post import Poster
from eventpub.sidecar.spool import records
from eventpub.sidecar.spool.framing import is_one_object
from eventpub.sidecar.telemetry.verdicts import Verdict
from eventpub.wire import http_signature

ID = "0123456789abcdef0123456789abcdef"
HEADER = records.Header(ID, 5)
SECRET = b"hunter2"
BODY = b'[{"example": "value"}]'
EVENT_2 = b'{"1":{"str":"shop"},"4":{"i64":1.5},"5":{"str":"\\u00e9"},"120":{"rec":{"1":{"str":"x"}}}}'
DATE = "Tue, 20 Apr 2021 02:07:53 GMT"
NOW = 1_618_884_473


# --- the spool -------------------------------------------------------------------------------------------

_PACKERS = [packer for packer in (compiled_packer(), PythonPacker()) if packer]


def spool(data: bytes) -> None:
    """Read a batch file: events or damage, both packers alike, and what was read is written and read again."""
    contents = records.read_records(data)
    assert contents.damaged or contents.batch_id
    again = records.read_records(records.write_records(contents.header or HEADER, contents.events))
    assert (again.header or HEADER) == (contents.header or HEADER)
    assert (again.events, again.damaged) == (contents.events, 0)
    for packer in _PACKERS:
        packed = packer.pack(data)
        if packed is not None:
            assert (bytes(packed[0]), packed[1]) == (b",".join(contents.events), len(contents.events))
            assert all(map(is_one_object, contents.events))


# --- INI files -------------------------------------------------------------------------------------------

_FILE = Path(tempfile.mkdtemp(prefix="eventpub-fuzz-")) / "file.ini"


def ini(data: bytes) -> None:
    """Read a configuration file: settings, or a ConfigError; a secret is shown by neither."""
    _FILE.write_bytes(data)
    with contextlib.suppress(ConfigError):
        config = sidecar_config.load_config(_FILE, "v2")
        assert "key_secret=" not in repr(config)
        assert config.collector_url.startswith(config.collector_scheme)
    with contextlib.suppress(ConfigError):
        loaded = collector_config.load_config(_FILE)
        assert all(secrets and all(secrets) for secrets in loaded.secrets.values())


# --- the collector ---------------------------------------------------------------------------------------


class _Store:
    """Takes everything."""

    def add(self, batch):
        assert batch.key_name == "test"
        for row in batch.events:
            row.event.encode()  # as a database would
        return Receipt(Outcome.STORED)

    def seen(self, _batch):
        return None

    def health(self):
        return Health(writable=True)

    def close(self):
        pass


_SETTINGS = collector_config.Settings(max_body_bytes=64 * 1024, max_events=1000)
_APPLICATION = Application(
    collector_config.Config(settings=_SETTINGS, secrets={"test": (SECRET,)}, schemas=Schemas()),
    _Store(),
    clock=lambda: NOW,
)


def _answer(version: str, sent: bytes, headers: dict[str, str]) -> int:
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": f"/v{version}",
        "QUERY_STRING": "",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(sent),
        "CONTENT_LENGTH": str(len(sent)),
    }
    environ |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    statuses: list[str] = []
    answer = b"".join(_APPLICATION(environ, lambda status, _headers: statuses.append(status)))
    assert answer.endswith(b"}\n")
    return int(statuses[0][:3])


def body(data: bytes) -> None:
    """Take a body whose sender has a key: there is an answer, and never that of a defect."""
    for version in wire.VERSIONS:
        headers = {wire.SIGNATURE_HEADER: wire.signature("test", SECRET, data)}
        assert _answer(version, data, headers) in {200, 400, 413, 422}
    for encoding in ACCEPTED:
        plain = decode_body(encoding, data, 1000)
        assert isinstance(plain, Damage) or len(plain) <= 1000
        headers = {wire.SIGNATURE_HEADER: wire.signature("test", SECRET, b""), "Content-Encoding": encoding}
        assert _answer("2j", data, headers) in {400, 401, 413}
    try:
        struct = decode_struct(Event, load_json(data))
    except (ValueError, DecodeError):
        return
    assert isinstance(to_plain(struct), dict)


_NAMES = ("X-Signature", "Signature-Input", "Signature", "Content-Digest", "Date", "Idempotency-Key", "Host")


def signature(data: bytes) -> None:
    """Take headers from somebody who has no key: a line each; the answer is 401, whatever they say."""
    lines = data.decode("latin-1").split("\n")
    headers = {name: line for name, line in zip(_NAMES, lines, strict=False) if line}
    assert _answer("2j", BODY + b" ", headers) == 401
    parsed = wire.parse_signature(lines[0])
    assert parsed is None or (parsed[0] and len(bytes.fromhex(parsed[1])) == 32)


# --- what a collector answers ----------------------------------------------------------------------------


class _AnsweringPeer:
    """A server of one process that gives every request the bytes it is told to, and closes."""

    def __init__(self) -> None:
        self.answer = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v2j"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(65_536)  # whole: it is shorter than the smallest buffer
                connection.sendall(self.answer)


_KINDS = {"http", "proxy", "reset", "malformed", "other"}
_HANG_SECONDS = 5.0  # on a busy machine; `volume` tells how long the slowest took


@functools.cache
def _answering() -> tuple[_AnsweringPeer, Poster]:
    peer = _AnsweringPeer()
    return peer, Poster(peer.url, timeout_seconds=10 * _HANG_SECONDS, concurrency=1)


def answer(data: bytes) -> None:
    """Get an answer to a batch over a real connection: something is made of it, soon, and within its bounds."""
    peer, poster = _answering()
    peer.answer = data
    started = time.monotonic()
    got = poster.post(Payload(BODY, {"Idempotency-Key": ID}))
    assert time.monotonic() - started < _HANG_SECONDS
    assert got.kind in _KINDS, got
    assert (got.kind == "http") is (got.status is not None)
    assert len(got.reason) <= MAX_REASON_CHARACTERS
    assert judge_answer(got) in Verdict


# --- where to begin --------------------------------------------------------------------------------------


def _signed_lines() -> bytes:
    headers = {"Date": DATE, "Idempotency-Key": ID, "Host": "collector:8080"}
    request = http_signature.Request("POST", "http://collector:8080/v2j", headers)
    http_signature.sign_request(request, BODY, key_name="test", secret=SECRET, now=NOW)
    headers["X-Signature"] = wire.signature("test", SECRET, BODY)
    return "\n".join(headers[name] for name in _NAMES).encode()


def _spool_images() -> Iterator[bytes]:
    image = records.write_records(HEADER, [b'{"a":1}', b'{"b":"\xc3\xa9"}', b'{"c":[{}]}'])
    yield image
    yield image + bytes(64)
    yield image[:-3]
    yield records.write_records(HEADER, [])


def _answers() -> Iterator[bytes]:
    def told(head: str, body: bytes = b"") -> bytes:
        return "\r\n".join([*head.split("|"), "", ""]).encode() + body

    busy = told("HTTP/1.1 503 Busy|Retry-After: 7|Content-Length: 4|Connection: close", b"busy")
    yield told("HTTP/1.1 200 OK|Content-Type: application/json|Content-Length: 18", b'{"batch_id": "01"}')
    yield told("HTTP/1.1 100 Continue") + told("HTTP/1.1 103 Early Hints|Link: </a>") + busy
    chunks = b"4;a=b\r\nokay\r\n1\r\n!\r\n0\r\nX-Sum: 5\r\n\r\n"
    yield told("HTTP/1.1 202 Accepted|Transfer-Encoding: chunked", chunks)
    yield told("HTTP/1.1 422 No|Content-Length: 44", b'{"rejected":[{"index":1,"reason":"\\u00e9vent"}]}')
    yield told("HTTP/1.0 200 OK|Content-Type: text/html", b"<html>")
    yield told("HTTP/1.1 302 Found|Location: http://portal/|Content-Length: 0|Accept-Encoding: zstd")
    yield told("HTTP/1.1 407 No|X Proxy: yes| folded")
    yield told("HTTP/1.1 204 No Content")
    yield b"\x15\x03\x01\x00\x02\x02\x46"


TARGETS: dict[str, Callable[[bytes], None]] = {
    "spool": spool,
    "ini": ini,
    "body": body,
    "signature": signature,
    "answer": answer,
}
SEEDS: dict[str, list[bytes]] = {
    "spool": [*_spool_images()],
    "ini": [
        (ROOT / "example.ini").read_bytes().replace(b"\n#", b"\n"),
        (ROOT / "example.ini").read_bytes(),
        (ROOT / "deploy" / "collector.ini").read_bytes().replace(b"${EVENTPUB_COLLECTOR_SECRET}", b"YQ=="),
        b"[event-publisher:v2]\ncollector.hostname = c\nkey.name = k\nkey.secret = YQ==\nretry.max = 1 h\n",
        b"[collector]\nlisten = [::1]:80\n[keys]\na = YQ== Yg==\n",
    ],
    "body": [
        BODY,
        wire.container("2", [EVENT_2, EVENT_2]),
        wire.container("2j", [b"{}", b'{"a":[1.5e3,null,"\\ud83d\\ude00"]}']),
        EVENT_2,
        gzip.compress(BODY, mtime=0),
        bytes.fromhex("28b52ffd0458b100005b7b226578616d706c65223a202276616c7565227d5d04a5ee69"),  # zstd
    ],
    "answer": [*_answers()],
    "signature": [_signed_lines(), wire.signature("test", SECRET, BODY).encode()],
}
