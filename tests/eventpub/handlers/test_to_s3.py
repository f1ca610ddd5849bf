"""Events stored by the real boto3 in a small server that speaks S3: `eventpub/handlers/to_s3.py`."""

from __future__ import annotations

import base64
import http.server
import json
import re
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from support.forked import in_child

from eventpub import Event
from eventpub.errors import AttachmentError, HandlerError
from eventpub.handlers import EventManager
from eventpub.handlers.to_s3 import S3Handler

BUCKET = "events"


class Bucket(http.server.BaseHTTPRequestHandler):
    """Stores what is put into one bucket, in order, if it is signed and whole; any other request is refused."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        body = self._body()
        path = unquote(urlsplit(self.path).path)
        checksum = self.headers.get("x-amz-checksum-crc32")
        if not re.match(
            r"AWS4-HMAC-SHA256 Credential=test-id/.*/s3/aws4_request", self.headers["Authorization"]
        ):
            self._answer(403, b"<Error><Code>AccessDenied</Code><Message>no key</Message></Error>")
        elif not path.startswith(f"/{BUCKET}/"):
            self._answer(404, b"<Error><Code>NoSuchBucket</Code><Message>no bucket</Message></Error>")
        elif checksum and base64.b64decode(checksum) != zlib.crc32(body).to_bytes(4, "big"):
            self._answer(400, b"<Error><Code>BadDigest</Code><Message>damaged</Message></Error>")
        else:
            self.server.connections.add(self.client_address[1])  # type: ignore[attr-defined]
            self.server.objects[path.removeprefix(f"/{BUCKET}/")] = (body, dict(self.headers))  # type: ignore[attr-defined]
            self._answer(200)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            body = self.rfile.read(int(self.headers["Content-Length"]))
        else:
            body = b"".join(self._chunks())
            self.rfile.readline()
        if "aws-chunked" in self.headers.get("Content-Encoding", ""):
            size, _, rest = body.partition(b"\r\n")
            body = rest[: int(size.split(b";")[0], 16)]
        return body

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bucket) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def credentials(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server.objects, server.connections = {}, set()
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


@pytest.fixture
def event(tmp_path: Path) -> Event:
    event = Event("build.done", uid="u1", project="tea")
    for name, content in (("log", b"hello"), ("large.bin", bytes(range(256)) * 4096)):
        (tmp_path / name).write_bytes(content)
        event.attach_file(tmp_path / name, name=name)
    return event


def handler_for(server: Any, bucket: str = BUCKET, **settings: Any) -> S3Handler:
    given = {"endpoint_url": f"http://127.0.0.1:{server.server_port}", "region": "eu-west-1", **settings}
    return S3Handler(bucket, **given)


def test_an_event_becomes_an_object_that_comes_after_its_attachments(server: Any, event: Event):
    assert handler_for(server, prefix="ci/2024 & more/").send_event(event) is True
    log, large, document = server.objects
    assert re.fullmatch(r"ci/2024 & more/build\.done-u1-[0-9a-f-]{36}\.json", document)
    stem = document.removesuffix(".json")
    assert (log, large) == (f"{stem}/log", f"{stem}/large.bin")
    assert json.loads(server.objects[document][0]) == event.as_dict()
    assert server.objects[document][1]["Content-Type"] == "application/json"
    assert server.objects[log][0] == b"hello"
    assert server.objects[large][0] == bytes(range(256)) * 4096


def test_a_mapping_becomes_an_object_and_encryption_is_asked_for(server: Any):
    assert handler_for(server, encryption="AES256").send_event({"name": "build"}) is True
    ((body, headers),) = server.objects.values()
    assert body == b'{"name":"build"}'
    assert headers["x-amz-server-side-encryption"] == "AES256"


def test_a_bucket_that_is_not_there_or_takes_nothing_is_a_failure_and_not_the_end(
    server: Any, event: Event, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    manager = EventManager()
    manager.register("s3", handler_for(server, "others"))
    assert manager.send_event(event) is False
    assert "NoSuchBucket" in caplog.text
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "other-id")
    manager.register("s3", handler_for(server))
    assert manager.send_event(event) is False
    assert "AccessDenied" in caplog.text
    manager.register("s3", handler_for(server, endpoint_url="http://127.0.0.1:9", timeout_seconds=1))
    assert manager.send_event(event) is False
    assert server.objects == {}
    assert "hunter2" not in caplog.text


def test_an_event_whose_attachment_is_gone_is_not_stored(server: Any, event: Event):
    Path(event.get_attachments()["large.bin"][0]).unlink()
    with pytest.raises(AttachmentError):
        handler_for(server).send_event(event)
    assert not [key for key in server.objects if key.endswith(".json")]


def test_without_boto3_it_says_what_to_install():
    program = """
import sys
sys.modules["boto3"] = None
from eventpub.errors import HandlerError
from eventpub.handlers.to_s3 import S3Handler
try:
    S3Handler("events").send_event({"name": "build"})
except HandlerError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert "pip install 'eventpub-sidecar[s3]'" in done.stdout


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"bucket": "a b"}, "bucket is 'a b'"),
        ({"endpoint_url": "127.0.0.1"}, "expected a URL"),
        ({"encryption": "rot13"}, "expected one of AES256"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings: dict[str, Any], reason: str):
    with pytest.raises(HandlerError, match=reason):
        S3Handler(**{"bucket": BUCKET, **settings})


def test_parent_and_child_of_a_fork_have_connections_of_their_own(server: Any, event: Event):
    handler = handler_for(server)
    handler.send_event({"name": "before"})
    of_parent, server.connections = server.connections, set()
    assert [in_child(lambda: handler.send_event(event)) for _ in range(2)] == [True, True]
    of_children, server.connections = server.connections, set()
    assert handler.send_event({"name": "after"}) is True
    assert (len(of_parent), len(of_children)) == (1, 2)
    assert of_parent.isdisjoint(of_children)
    assert server.connections == of_parent
