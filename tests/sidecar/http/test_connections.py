"""The way to the collector: proxies, certificates, age: `sidecar/http/connections.py`."""

from __future__ import annotations

import base64
import socket
import ssl
import subprocess
import threading
import time

import pytest
from support.attempts import OK, PAYLOAD, attempt_here
from support.paths import CERTIFICATES
from support.peer import Peer, answering, tls_context
from support.ports import free_port
from support.waiting import DEADLINE_SECONDS

from eventpub.sidecar.delivery.answer import Answer
from eventpub.sidecar.delivery.payload import Payload
from eventpub.sidecar.delivery.post import Poster

# --- proxies


def test_a_proxy_of_the_environment_is_used(monkeypatch):
    with answering(OK) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "other.example")
        assert attempt_here("http://collector.example/v2j").status == 200
        assert proxy.requests[0].startswith(b"POST http://collector.example/v2j HTTP/1.1\r\n")
        assert attempt_here("http://other.example:1/v2j", timeout_seconds=0.2).status is None
    assert proxy.connections == 1


ESTABLISHED = b"HTTP/1.1 200 Connection established\r\nVia: proxy\r\n\r\n"


def tunnelling(said: bytes, then: bytes = OK) -> Peer:
    """A proxy that answers CONNECT with `said`, and is the collector behind it as well."""

    def script(connection: socket.socket) -> None:
        asked.append(proxy.read_head(connection))
        connection.sendall(said)
        with tls_context().wrap_socket(connection, server_side=True) as inner:
            while proxy.read(inner):
                inner.sendall(then)

    asked: list[bytes] = []
    proxy = Peer(script)
    proxy.asked = asked
    return proxy


def attempt_through(
    proxy: Peer, monkeypatch: pytest.MonkeyPatch, userinfo: str = "", **options: object
) -> Answer:
    monkeypatch.setenv("https_proxy", f"http://{userinfo}127.0.0.1:{proxy.port}")
    monkeypatch.delenv("no_proxy", raising=False)
    return attempt_here("https://localhost:4433/v2j", **{"ca_file": CERTIFICATES / "ca.pem", **options})


def test_https_goes_through_a_tunnel_of_the_proxy_which_sees_nothing_of_it(monkeypatch):
    with tunnelling(ESTABLISHED) as proxy:
        assert attempt_through(proxy, monkeypatch, "me:hunter%402@").status == 200
    head = proxy.asked[0].decode()
    assert head.startswith("CONNECT localhost:4433 HTTP/1.1\r\nHost: localhost:4433\r\n")
    assert f"Proxy-Authorization: Basic {base64.b64encode(b'me:hunter@2').decode()}\r\n" in head
    assert proxy.requests[0].startswith(b"POST /v2j HTTP/1.1\r\nHost: localhost:4433\r\n")
    assert b"proxy" not in proxy.requests[0].lower()


def test_a_tunnel_is_used_again(monkeypatch):
    with tunnelling(ESTABLISHED) as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        poster = Poster(
            "https://localhost/v2j",
            timeout_seconds=DEADLINE_SECONDS,
            concurrency=1,
            ca_file=CERTIFICATES / "ca.pem",
        )
        assert [poster.post(PAYLOAD).status for _ in range(3)] == [200] * 3
        poster.close()
    assert (proxy.connections, len(proxy.requests)) == (1, 3)
    assert b"Host: localhost\r\n" in proxy.requests[0]  # 443 is the scheme's own


def test_informational_answers_of_a_proxy_are_read_past(monkeypatch):
    with tunnelling(b"HTTP/1.1 100 Continue\r\n\r\n" + ESTABLISHED) as proxy:
        assert attempt_through(proxy, monkeypatch).status == 200


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (
            b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n",
            "proxy",
            "wants a user and a password; see $HTTPS_PROXY",
        ),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "proxy", "answers CONNECT localhost:4433 with status 403"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://portal/\r\n\r\n", "proxy", "status 302"),
        (ESTABLISHED + b"hello", "proxy", "more than an answer"),
        (b"HTTP/1.1 200 OK\r\nVia", "reset", "the proxy of the environment: "),
        (b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 2000, "malformed", "lines of headers"),
        (b"SSH-2.0-OpenSSH\r\n", "other", "no HTTP answer"),
    ],
)
def test_a_proxy_that_opens_no_tunnel_is_told_and_gets_nothing_of_the_batch(monkeypatch, said, kind, words):
    def script(connection: socket.socket) -> None:
        proxy.read_head(connection)
        connection.sendall(said)

    proxy = Peer(script)
    with proxy:
        answer = attempt_through(proxy, monkeypatch)
    assert (answer.status, answer.kind, answer.is_sent) == (None, kind, False)
    assert words in answer.reason


def test_a_407_of_a_proxy_that_forwards_names_the_proxy_as_well(monkeypatch):
    with answering(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n") as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        answer = attempt_here("http://collector.example/v2j")
    assert (answer.status, answer.kind) == (None, "proxy")
    assert "wants a user and a password" in answer.reason


def test_a_proxy_that_is_not_there_is_told_as_one(monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    answer = attempt_here("http://collector.example/v2j")
    assert (answer.kind, answer.is_sent) == ("refused", False)
    assert "the proxy of the environment" in answer.reason


@pytest.mark.parametrize(
    "url",
    [
        "http://me:hunter2@127.0.0.1:99999",
        "http://me:hun/ter2@127.0.0.1:1",
        "http://me:hun#ter2@127.0.0.1:1",
        "http://me:hunter2@",
        "http://me:hun[ter2@127.0.0.1:1",
        "nonsense://me:hunter2@127.0.0.1:1",
    ],
)
def test_no_password_of_a_proxy_is_shown(monkeypatch, url):
    monkeypatch.setenv("http_proxy", url)
    answer = attempt_here("http://collector.example/v2j", timeout_seconds=0.2)
    assert answer.status is None
    assert "proxy" in answer.reason
    assert "ter2" not in answer.reason


# --- the host that is asked


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://[::1]:{port}/v2", "[::1]:{port}"),
        ("http://localhost:{port}/ingest/v2", "localhost:{port}"),
    ],
)
def test_host_is_named_as_in_the_url(url, host):
    with answering(OK, host="::1" if "::1" in url else "127.0.0.1") as peer:
        assert attempt_here(url.format(port=peer.port)).status == 200
    assert f"\r\nHost: {host.format(port=peer.port)}\r\n".encode() in peer.requests[0]


# --- age


def test_a_connection_that_is_too_old_is_not_used_again():
    """Keep-alive pinned an address for ever, though its name had moved."""
    with answering(OK, OK, OK) as peer:
        poster = Poster(peer.url, timeout_seconds=DEADLINE_SECONDS, concurrency=1, max_age_seconds=0.2)
        assert [poster.post(PAYLOAD).status for _ in range(2)] == [200, 200]
        assert peer.connections == 1
        time.sleep(0.25)
        assert poster.post(PAYLOAD).status == 200
        poster.close()
    assert peer.connections == 2


def test_an_answer_that_nobody_asked_for_is_not_taken_for_the_next_one():
    """It waits in the kernel when the next request comes."""
    said_too_much = threading.Event()

    def script(connection: socket.socket) -> None:
        peer.read(connection)
        connection.sendall(OK)
        time.sleep(0.05)
        connection.sendall(OK)
        said_too_much.set()
        peer.read(connection)

    with Peer(script) as peer:
        poster = Poster(peer.url, timeout_seconds=DEADLINE_SECONDS, concurrency=1)
        assert poster.post(PAYLOAD).status == 200
        assert said_too_much.wait(DEADLINE_SECONDS)
        assert poster.post(PAYLOAD).status == 200
        poster.close()
    assert peer.connections == 2


# --- TLS


def test_a_certificate_of_a_given_authority_is_trusted(attempt):
    with answering(OK, tls=tls_context()) as peer:
        assert attempt(peer.url, ca_file=CERTIFICATES / "ca.pem").status == 200


def test_a_certificate_of_an_unknown_authority_is_not(attempt):
    with answering(OK, tls=tls_context()) as peer:
        answer = attempt(peer.url)
    assert (answer.status, answer.kind) == (None, "tls")
    assert "certificate verify failed" in answer.reason
    assert (peer.connections, peer.requests) == (1, [])


def test_a_certificate_for_another_name_is_not_trusted(attempt):
    with answering(OK, tls=tls_context(), host="127.0.0.2") as peer:
        answer = attempt(peer.url, ca_file=CERTIFICATES / "ca.pem")
    assert answer.kind == "tls"
    assert not peer.requests


def test_https_to_a_port_that_speaks_http_is_tls(attempt):
    with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as peer:
        peer.read = lambda connection: connection.recv(65_536)
        assert attempt(peer.url.replace("http:", "https:")).kind == "tls"


def test_the_environments_authorities_serve_unless_some_are_given(monkeypatch, tmp_path):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATES / "ca.pem"))
    with answering(OK, tls=tls_context()) as peer:
        assert attempt_here(peer.url).status == 200
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none.pem"))
        assert attempt_here(peer.url).status is None
        assert attempt_here(peer.url, ca_file=CERTIFICATES / "ca.pem").status == 200


@pytest.mark.parametrize("apart", [False, True])
def test_a_client_certificate_is_presented(attempt, tmp_path, apart):
    context = tls_context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(CERTIFICATES / "ca.pem")
    options = {"ca_file": CERTIFICATES / "ca.pem", "client_certificate": CERTIFICATES / "client.pem"}
    if apart:
        certificate, begin, key = (CERTIFICATES / "client.pem").read_text().partition("-----BEGIN PRIVATE KEY")
        options["client_certificate"] = tmp_path / "client.crt"
        options["client_key"] = tmp_path / "client.key"
        options["client_certificate"].write_text(certificate)
        options["client_key"].write_text(begin + key)
    with answering(OK, tls=context) as peer:
        assert attempt(peer.url, ca_file=CERTIFICATES / "ca.pem").status is None
        assert attempt(peer.url, **options).status == 200


@pytest.mark.parametrize(
    ("context_of", "options", "words"),
    [
        ("server", {}, "name the file of its authority in collector.ca_file"),
        ("other name", {"ca_file": CERTIFICATES / "ca.pem"}, "set collector.hostname to"),
        (
            "asks for ours",
            {"ca_file": CERTIFICATES / "ca.pem"},
            "check whether the collector accepts collector.client_certificate",
        ),
    ],
)
def test_a_certificate_fault_says_what_to_do(attempt, context_of, options, words):
    context = tls_context()
    if context_of == "asks for ours":
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(CERTIFICATES / "ca.pem")
    with answering(OK, tls=context, host="127.0.0.2" if context_of == "other name" else "127.0.0.1") as peer:
        answer = attempt(peer.url, **options)
    assert answer.kind == "tls"
    assert words in answer.reason


@pytest.mark.parametrize("size", [10, 8_000_000])
def test_a_collector_that_asks_for_a_certificate_is_told_as_one_however_large_the_batch(attempt, size):
    """TLS 1.3 refuses after the handshake, while the batch is on its way."""
    context = tls_context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(CERTIFICATES / "ca.pem")
    payload = Payload(b"x" * size, PAYLOAD.headers)
    with answering(OK, tls=context) as peer:
        answer = attempt(peer.url, payload, ca_file=CERTIFICATES / "ca.pem")
    assert answer.status is None
    assert answer.kind == "tls" or (size > 10 and answer.kind == "reset")  # an RST may overtake the alert


def test_https_to_a_port_without_tls_points_at_the_scheme(attempt):
    with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as peer:
        peer.read = lambda connection: connection.recv(65_536)
        answer = attempt(peer.url.replace("http:", "https:"))
    assert (answer.kind, answer.is_sent) == ("tls", False)
    assert "collector.scheme = http" in answer.reason


def test_http_to_a_port_with_tls_points_at_the_scheme(attempt):
    with answering(OK, tls=tls_context()) as peer:
        answer = attempt(peer.url.replace("https:", "http:"))
    assert answer.status is None
    assert "collector.scheme = https" in answer.reason


def test_an_end_without_a_word_in_the_handshake_is_reset(attempt):
    with Peer(lambda connection: connection.recv(65_536)) as peer:
        assert attempt(peer.url.replace("http:", "https:")).kind == "reset"


def test_files_that_are_not_there_are_tls_and_named(attempt, tmp_path):
    with answering(OK, tls=tls_context()) as peer:
        for option in ("ca_file", "client_certificate"):
            given = {"ca_file": CERTIFICATES / "ca.pem", option: tmp_path / "none.pem"}
            answer = attempt(peer.url, **given)
            assert (answer.kind, answer.is_sent) == ("tls", False)
            assert "none.pem" in answer.reason


def test_a_key_of_another_certificate_is_told(tmp_path):
    certificate = tmp_path / "client.crt"
    certificate.write_text((CERTIFICATES / "client.pem").read_text().partition("-----BEGIN PRIVATE KEY")[0])
    with answering(OK, tls=tls_context()) as peer:
        answer = attempt_here(
            peer.url,
            ca_file=CERTIFICATES / "ca.pem",
            client_certificate=certificate,
            client_key=CERTIFICATES / "server.pem",
        )
    assert answer.kind == "tls"
    assert "set collector.client_key to the key of collector.client_certificate" in answer.reason


def test_authorities_of_ssl_cert_file_and_ssl_cert_dir_are_trusted(monkeypatch, tmp_path):
    with answering(OK, tls=tls_context()) as peer:
        monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "ca.pem"))
        assert attempt_here(peer.url).status == 200
        monkeypatch.delenv("SSL_CERT_FILE")
        hashed = subprocess.run(
            ["openssl", "x509", "-hash", "-noout", "-in", CERTIFICATES / "ca.pem"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        (tmp_path / f"{hashed}.0").write_bytes((CERTIFICATES / "ca.pem").read_bytes())
        monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
        assert attempt_here(peer.url).status == 200
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
        answer = attempt_here(peer.url)
        assert (answer.kind, "none.pem" in answer.reason) == ("tls", True)
