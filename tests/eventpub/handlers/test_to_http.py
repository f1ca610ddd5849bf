"""Events posted to a real collector: `eventpub/handlers/to_http.py`."""

from __future__ import annotations

import base64
import contextlib
import http.server
import logging
import os
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.collector_process import KEY_NAME, SECRET, CollectorProcess
from support.paths import CERTIFICATES

from eventpub import Event, EventSerializationError
from eventpub.errors import HandlerError
from eventpub.handlers import EventManager
from eventpub.handlers.to_http import HttpHandler
from eventpub.schemas.event.ttypes import Event as V2Event
from eventpub.sidecar.delivery.answer import Answer, judge_answer
from eventpub.sidecar.telemetry.verdicts import Verdict

VARIABLE = "EVENTPUB_TEST_KEY"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, base64.b64encode(SECRET).decode())
    for name in ("http_proxy", "HTTP_PROXY", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


def handler_for(collector: CollectorProcess, **settings: Any) -> HttpHandler:
    given = {"key_name": KEY_NAME, "secret_variable": VARIABLE, "scheme": "http", **settings}
    return HttpHandler(collector.hostname, **given)


def stored(collector: CollectorProcess, seen: int) -> list[Any]:
    return [row["event"] for row in collector.events()][seen:]


def test_events_of_every_kind_are_stored_as_version_2(collector: CollectorProcess):
    seen = len(collector.events())
    handler = handler_for(collector)
    for event in (
        V2Event(source="shop", action="buy", noun="tea"),
        {"name": "shop.tea.buy", "data": {"color": "green"}},
        Event("shop.tea.buy", uid="u1", begin_time=1.0),
    ):
        assert handler.send_event(event) is True
    core = {"source": "shop", "action": "buy", "noun": "tea"}
    assert stored(collector, seen) == [
        core,
        {**core, "properties": {"color": "green"}},
        {**core, "client_timestamp": 1000, "uuid": "u1"},
    ]


def test_mappings_and_events_are_stored_as_json(collector: CollectorProcess):
    seen = len(collector.events())
    handler = handler_for(collector, version="2j")
    event = Event("build", project="tea")
    assert handler.send_event({"name": "build", "n": 1})
    assert handler.send_event(event)
    assert stored(collector, seen) == [{"name": "build", "n": 1}, event.as_dict()]
    with pytest.raises(EventSerializationError):
        handler.send_event(V2Event(source="shop", action="buy", noun="tea"))


@pytest.mark.parametrize("signature", ["x-signature", "rfc9421", "both"])
def test_every_way_of_signing_is_verified(signature: str, collector: CollectorProcess):
    assert handler_for(collector, signature=signature).send_event({"name": "build"}) is True
    headers = {name.lower() for name in collector.requests()[-1]["headers"]}
    assert ("x-signature" in headers) == (signature != "rfc9421")
    assert ("signature-input" in headers) == (signature != "x-signature")


def test_an_event_with_an_id_is_stored_once_and_one_without_each_time(collector: CollectorProcess):
    seen = len(collector.events())
    handler = handler_for(collector, version="2j")
    event = Event("build")
    assert all(handler.send_event(event) for _ in range(3))
    assert stored(collector, seen) == [event.as_dict()]
    assert all(handler.send_event({"name": "click"}) for _ in range(3))
    assert stored(collector, seen + 1) == [{"name": "click"}] * 3


@pytest.mark.parametrize("version", ["2", "2j"])
@pytest.mark.parametrize(
    "event",
    [
        {"name": "once", "uuid": "1"},
        {"name": "once", "uid": "1"},
        {"name": "once", "data": {"uuid": "1"}},
        {"name": "once", "context": {"uuid": "1"}},
    ],
)
def test_a_mapping_with_an_id_is_stored_once(event: dict[str, Any], version: str, collector: CollectorProcess):
    seen = len(collector.events())
    handler = handler_for(collector, version=version)
    marked = {**event, "test": f"{event}{version}"}  # the collector is other tests', too
    assert all(handler.send_event(marked) for _ in range(3))
    assert len(stored(collector, seen)) == 1


@pytest.mark.parametrize("event", [{"name": "click", "uid": ""}, {"name": "click", "data": {"uid": "bob"}}])
def test_a_mapping_that_only_seems_to_have_an_id_is_stored_each_time(
    event: dict[str, Any], collector: CollectorProcess
):
    seen = len(collector.events())
    handler = handler_for(collector)
    assert all(handler.send_event(event) for _ in range(3))
    assert len(stored(collector, seen)) == 3


def test_a_refused_event_that_cannot_be_named_is_false_and_logged(
    collector: CollectorProcess, caplog: pytest.LogCaptureFixture
):
    class Nameless(dict[str, Any]):
        def get(self, key: str, default: Any = None) -> Any:
            return {}[key] if key == "name" else super().get(key, default)

    collector.set_faults([{"status": 500}])
    assert handler_for(collector, version="2j").send_event(Nameless(n=1)) is False
    assert "event 'unknown' was not taken by" in caplog.text


@pytest.mark.parametrize("status", [400, 401, 413, 429, 500, 302])
def test_an_answer_that_is_no_acceptance_is_false_and_logged(
    status: int, collector: CollectorProcess, caplog: pytest.LogCaptureFixture
):
    collector.set_faults([{"status": status}])
    assert handler_for(collector).send_event({"name": "shop.tea.buy"}) is False
    assert f"event 'shop.tea.buy' was not taken by {collector.url}/v2: status {status} '" in caplog.text


def test_a_redirect_is_not_followed(collector: CollectorProcess):
    collector.set_faults([{"status": 307, "headers": {"Location": f"{collector.url}/v2"}}])
    assert handler_for(collector).send_event({"name": "build"}) is False


def test_a_wrong_key_is_refused_and_a_new_one_works_at_once(collector: CollectorProcess, tmp_path: Path):
    file = tmp_path / "key"
    file.write_text(base64.b64encode(b"wrong").decode())
    handler = handler_for(collector, secret_variable=None, secret_file=file)
    assert handler.send_event({"name": "build"}) is False
    file.write_text(base64.b64encode(SECRET).decode() + "\n")
    assert handler.send_event({"name": "build"}) is True


def test_a_collector_that_is_down_or_silent_is_a_failure_and_not_the_end(
    collector: CollectorProcess, caplog: pytest.LogCaptureFixture
):
    manager = EventManager()
    manager.add_handler(
        "http", "127.0.0.1:9", scheme="http", key_name="k", secret_variable=VARIABLE, timeout_seconds=1
    )
    assert manager.send_event({"name": "build"}) is False
    assert "refused" in caplog.text
    collector.set_faults([{"hang": True}])
    manager.register("http", handler_for(collector, timeout_seconds=0.1))
    assert manager.send_event({"name": "build"}) is False
    assert "timed out" in caplog.text


class Answering(http.server.BaseHTTPRequestHandler):
    """Accepts everything, with the answer the path's server was given."""

    content_type = "application/json"
    pieces: tuple[bytes, ...] = ()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", self.content_type)
        self.end_headers()
        for piece in self.pieces:
            self.wfile.write(piece)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def answering(content_type: str, *pieces: bytes, certificate: Path | None = None) -> Iterator[str]:
    """Runs a server that accepts everything, and returns its host and port."""
    handler = type("", (Answering,), {"content_type": content_type, "pieces": pieces})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # a client that refuses the certificate hangs up
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_the_certificate_is_verified(caplog: pytest.LogCaptureFixture):
    with answering("application/json", certificate=CERTIFICATES / "server.pem") as hostname:
        known = HttpHandler(hostname, key_name="k", secret_variable=VARIABLE, ca_file=CERTIFICATES / "ca.pem")
        assert known.send_event({"name": "build"}) is True
        assert replace(known, ca_file=None).send_event({"name": "build"}) is False
    assert "certificate verify failed" in caplog.text


@pytest.mark.parametrize(
    ("content_type", "pieces", "is_taken"),
    [
        ("text/plain", (), True),
        ("text/plain", (b"<", b"!DOCTYPE", b" html><title>Log in</title>"), False),
        ("text/plain", (b" " * 900, b"<html>" + b"x" * 5000), False),
        ("text/html; charset=utf-8", (), True),
        ("text/html; charset=utf-8", (b"ok",), True),
        ("text/html; charset=utf-8", (b"<p>Welcome",), False),
        ("application/json", (b'{"message": "<html>"}',), True),
    ],
)
def test_a_web_page_is_no_acceptance_to_handler_and_sidecar_alike(
    content_type: str, pieces: tuple[bytes, ...], *, is_taken: bool
):
    with answering(content_type, *pieces) as hostname:
        handler = HttpHandler(hostname, scheme="http", key_name="k", secret_variable=VARIABLE)
        assert handler.send_event({"name": "build"}) is is_taken
    verdict = judge_answer(Answer.of(200, {"Content-Type": content_type}, b"".join(pieces)))
    assert verdict is (Verdict.ACCEPTED if is_taken else Verdict.MISCONFIGURED)


@pytest.mark.parametrize(
    ("value", "reason"),
    [(None, "is not set in the environment"), ("", "is empty"), ("no base64!", "is not base64")],
)
def test_a_secret_that_cannot_be_used_is_refused_without_showing_it(
    value: str | None, reason: str, monkeypatch: pytest.MonkeyPatch
):
    if value is None:
        monkeypatch.delenv(VARIABLE)
    else:
        monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(HandlerError, match=reason) as caught:
        HttpHandler("127.0.0.1:9", key_name="k", secret_variable=VARIABLE).send_event({"name": "build"})
    assert "no base64!" not in str(caught.value)


def test_a_secret_file_that_cannot_be_read_is_named(tmp_path: Path):
    handler = HttpHandler("127.0.0.1:9", key_name="k", secret_file=tmp_path / "key")
    with pytest.raises(HandlerError, match=r"secret_file .*/key cannot be read: No such file"):
        handler.send_event({"name": "build"})
    (tmp_path / "key").write_bytes(b"\xff")
    with pytest.raises(HandlerError, match=r"secret_file .*/key is not text"):
        handler.send_event({"name": "build"})


def test_the_secret_is_in_no_repr_no_configuration_and_no_log(
    collector: CollectorProcess, caplog: pytest.LogCaptureFixture
):
    handler = handler_for(collector)
    with caplog.at_level(logging.DEBUG):
        collector.set_faults([{"status": 401}])
        handler.send_event({"name": "build"})
    for text in (repr(handler), handler.encode_config(), caplog.text):
        assert os.environ[VARIABLE] not in text
        assert SECRET.decode() not in text


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, "either secret_file or secret_variable"),
        ({"secret_variable": "A", "secret_file": "/b"}, "either secret_file or secret_variable"),
        ({"secret_variable": "A", "version": "3"}, "version is '3': expected one of 2, 2j"),
        ({"secret_variable": "A", "key_name": "a b"}, "key_name is 'a b'"),
        ({"secret_variable": "A", "hostname": "http://x"}, "hostname is 'http://x': expected host"),
        ({"secret_variable": "A", "hostname": "x:0"}, "port from 1 to 65,535"),
        ({"secret_variable": "A", "timeout_seconds": 0}, "timeout_seconds is '0': expected seconds"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings: dict[str, Any], reason: str):
    with pytest.raises(HandlerError, match=reason):
        HttpHandler(**{"hostname": "127.0.0.1:9", "key_name": "k", **settings})
