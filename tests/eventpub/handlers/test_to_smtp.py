"""Events mailed through a real mail server: `eventpub/handlers/to_smtp.py`."""

from __future__ import annotations

import contextlib
import email
import email.policy
import json
import socket
import ssl
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from support.paths import CERTIFICATES
from support.ports import free_port

from eventpub import Event
from eventpub.errors import HandlerError
from eventpub.handlers import EventManager
from eventpub.handlers.to_smtp import SmtpHandler
from eventpub.schemas.event.ttypes import Event as V2Event
from eventpub.settings import address

PASSWORD = "hunter2 and more"
VARIABLE = "EVENTPUB_TEST_PASSWORD"
ADDRESSES = {"sender": "ci@example.com", "recipients": ["a@example.com", "b@example.com"]}


class Mailbox:
    """Keeps the mails that come in, refuses recipients at example.org, and everything once it is full."""

    def __init__(self) -> None:
        self.mails: list[tuple[Envelope, EmailMessage, Session]] = []
        self.is_full = False

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address.endswith("@example.org"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.is_full:
            return "552 mailbox full"
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.mails.append((envelope, message, session))
        return "250 OK"


def authenticate(
    _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, given: Any
) -> AuthResult:
    is_known = isinstance(given, LoginPassword) and given == LoginPassword(b"ci", PASSWORD.encode())
    return AuthResult(success=is_known, handled=False)


@contextlib.contextmanager
def serving(tls: str, *, mailbox: Mailbox | None = None, **options: Any) -> Iterator[tuple[Mailbox, str]]:
    """Runs a mail server, and returns its mailbox and its host and port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "server.pem")
    port = free_port()
    more = {"ssl": {"ssl_context": context}, "starttls": {"tls_context": context, "require_starttls": True}}
    mailbox = mailbox or Mailbox()
    controller = Controller(
        mailbox, hostname="127.0.0.1", port=port, server_hostname="mail.test", **more.get(tls, {}), **options
    )
    controller.start()
    try:
        yield mailbox, f"127.0.0.1:{port}"
    finally:
        controller.stop()


def handler_for(server: str, tls: str, **settings: Any) -> SmtpHandler:
    return SmtpHandler(server, **{**ADDRESSES, "tls": tls, "ca_file": CERTIFICATES / "ca.pem", **settings})


@pytest.fixture
def event(tmp_path: Path) -> Event:
    event = Event("build.döne", uid="u1", project="täa")
    for name, content in (("log", b"hello\n"), ("page.html", b"<p>"), ("old.tar.gz", bytes(range(256)))):
        (tmp_path / name).write_bytes(content)
        event.attach_file(tmp_path / name, name=name)
    return event


@pytest.mark.parametrize("tls", ["none", "starttls", "ssl"])
def test_an_event_arrives_as_a_mail_with_its_attachments(tls: str, event: Event):
    with serving(tls) as (mailbox, server):
        assert handler_for(server, tls, subject="CI says:").send_event(event) is True
    ((envelope, message, session),) = mailbox.mails
    assert (session.ssl is not None) == (tls == "starttls")  # the server knows of no other TLS
    assert (envelope.mail_from, envelope.rcpt_tos) == (ADDRESSES["sender"], ADDRESSES["recipients"])
    assert message["Subject"] == "CI says: build.döne"
    assert (message["From"], message["To"]) == ("ci@example.com", "a@example.com, b@example.com")
    assert message["Message-ID"].endswith("@example.com>")
    assert message["Date"]
    body = message.get_body()
    assert body is not None
    assert json.loads(body.get_content()) == event.as_dict()
    parts = [
        (part.get_filename(), part.get_content_type(), part.get_payload(decode=True))
        for part in message.iter_attachments()
    ]
    assert parts == [
        ("log", "application/octet-stream", b"hello\n"),
        ("page.html", "text/html", b"<p>"),
        ("old.tar.gz", "application/octet-stream", bytes(range(256))),
    ]


@pytest.mark.parametrize(
    ("content", "charset"),
    [("täa\n".encode(), "utf-8"), (b"tea\n", "utf-8"), ("täa\n".encode("latin-1"), None)],
)
def test_an_attachment_of_text_says_how_to_read_it(content: bytes, charset: str | None, tmp_path: Path):
    (tmp_path / "log.txt").write_bytes(content)
    event = Event("build")
    event.attach_file(tmp_path / "log.txt", name="log.txt")
    with serving("none") as (mailbox, server):
        assert handler_for(server, "none").send_event(event) is True
    (part,) = mailbox.mails[0][1].iter_attachments()
    assert (part.get_content_type(), part.get_content_charset()) == ("text/plain", charset)
    assert part.get_payload(decode=True) == content


@pytest.mark.parametrize("name", ["mail.eml", "page.mht", "page.mhtml"])
def test_an_attachment_that_is_a_mail_itself_arrives_as_it_is(name: str, tmp_path: Path):
    content = b"Subject: tea\r\n\r\nIt is ready.\r\n"
    (tmp_path / name).write_bytes(content)
    event = Event("build")
    event.attach_file(tmp_path / name, name=name)
    with serving("none") as (mailbox, server):
        assert handler_for(server, "none").send_event(event) is True
    (part,) = mailbox.mails[0][1].iter_attachments()
    assert (part.get_filename(), part.get_content_type()) == (name, "application/octet-stream")
    assert part.get_payload(decode=True) == content


def test_recipients_may_be_a_set():
    recipients = {"b@example.com", "a@example.com"}
    assert handler_for("mail.example.com", "ssl", recipients=recipients).recipients == tuple(sorted(recipients))


@pytest.mark.parametrize("sent", [{"name": "build"}, V2Event(source="shop", action="buy", noun="tea")])
def test_mappings_and_structs_arrive_too(sent: Any):
    with serving("none") as (mailbox, server):
        assert handler_for(server, "none").send_event(sent) is True
    document = json.loads(mailbox.mails[0][1].get_content())
    assert document == sent if isinstance(sent, dict) else document["noun"] == sent.noun


def test_a_name_of_several_lines_makes_no_further_headers():
    with serving("none") as (mailbox, server):
        assert handler_for(server, "none").send_event({"name": "x\r\nBcc: c@example.com\r\n\r\nbody"}) is True
    ((envelope, message, _),) = mailbox.mails
    assert message["Subject"] == "Event x Bcc: c@example.com body"
    assert message["Bcc"] is None
    assert envelope.rcpt_tos == ADDRESSES["recipients"]


@pytest.mark.parametrize("tls", ["starttls", "ssl"])
def test_a_server_of_an_unknown_authority_gets_nothing(tls: str, event: Event):
    with serving(tls) as (mailbox, server), pytest.raises(ssl.SSLCertVerificationError):
        handler_for(server, tls, ca_file=None).send_event(event)
    assert mailbox.mails == []


def test_a_server_without_starttls_gets_nothing(event: Event, caplog: pytest.LogCaptureFixture):
    manager = EventManager()
    with serving("none") as (mailbox, server):
        manager.register("smtp", handler_for(server, "starttls"))
        assert manager.send_event(event) is False
    assert mailbox.mails == []
    assert "STARTTLS" in caplog.text


@pytest.mark.filterwarnings("ignore:Requiring AUTH")  # the server knows of no other TLS than STARTTLS
@pytest.mark.parametrize("tls", ["starttls", "ssl"])
def test_it_logs_in_with_a_password_that_is_read_each_time(
    tls: str, event: Event, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv(VARIABLE, PASSWORD)
    file = tmp_path / "password"
    file.write_text("wrong")
    manager = EventManager()
    with serving(tls, authenticator=authenticate, auth_required=True, auth_require_tls=tls == "starttls") as (
        mailbox,
        server,
    ):
        by_file = handler_for(server, tls, username="ci", password_file=file)
        by_variable = handler_for(server, tls, username="ci", password_variable=VARIABLE)
        manager.register("smtp", by_file)
        assert manager.send_event(event) is False
        file.write_text(f"{PASSWORD}\n")
        assert manager.send_event(event) is True
        assert by_variable.send_event(event) is True
        manager.register("smtp", handler_for(server, tls))
        assert manager.send_event(event) is False
    assert len(mailbox.mails) == 2
    for text in (repr(by_file), repr(by_variable), by_variable.encode_config(), caplog.text):
        assert PASSWORD not in text


def test_a_recipient_that_is_refused_is_a_failure_though_the_others_get_it(
    event: Event, caplog: pytest.LogCaptureFixture
):
    with serving("none") as (mailbox, server):
        handler = handler_for(server, "none", recipients="a@example.com,b@example.org")
        assert handler.send_event(event) is False
    assert mailbox.mails[0][0].rcpt_tos == ["a@example.com"]
    assert "b@example.org" in caplog.text


def test_a_server_that_refuses_or_is_down_is_a_failure_and_not_the_end(
    event: Event, caplog: pytest.LogCaptureFixture
):
    manager = EventManager()
    with serving("none") as (mailbox, server):
        mailbox.is_full = True
        manager.register("smtp", handler_for(server, "none"))
        assert manager.send_event(event) is False
    assert manager.send_event(event) is False
    assert "mailbox full" in caplog.text
    assert "refused" in caplog.text


def test_a_server_that_never_answers_is_given_up(event: Event):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        handler = handler_for(f"127.0.0.1:{silent.getsockname()[1]}", "none", timeout_seconds=0.1)
        with pytest.raises(OSError, match="timed out"):
            handler.send_event(event)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"username": "ci"}, "either password_file or password_variable"),
        ({"username": "ci", "password_variable": "P", "tls": "none"}, "clear text; set tls"),
        ({"tls": "yes"}, "expected one of starttls, ssl, none"),
        ({"recipients": ["a"]}, "recipients is 'a': expected addresses"),
        ({"recipients": ["a@b\r\nBcc: c@d"]}, "expected addresses"),
        ({"sender": "a@b\nBcc: c@d"}, "expected an address"),
        ({"subject": "a\nb"}, "expected a text of one line"),
        ({"server": "a b"}, "expected host"),
        ({"server": "localhost:99999"}, "port from 1 to 65,535"),
        ({"password_variable": "P"}, "needs a username"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings: dict[str, Any], reason: str):
    with pytest.raises(HandlerError, match=reason):
        handler_for(**{"server": "localhost", "tls": "starttls", **settings})


@pytest.mark.parametrize(
    ("server", "host", "port"),
    [
        ("mail.example.com", "mail.example.com", 0),
        ("mail.example.com:25", "mail.example.com", 25),
        ("[::1]", "::1", 0),
        ("[fe80::1]:2525", "fe80::1", 2525),
    ],
)
def test_a_server_has_a_host_and_perhaps_a_port(server: str, host: str, port: int):
    assert address.host_and_port(server) == (host, port)


# --- mails that are too large, and servers that fail late --------------------------------------------------


@pytest.fixture
def large_event(event: Event, tmp_path: Path) -> Event:
    (tmp_path / "core").write_bytes(bytes(400_000))
    event.attach_file(tmp_path / "core", name="core")
    return event


def names_of_parts(message: EmailMessage) -> list[str | None]:
    return [part.get_filename() for part in message.iter_attachments()]


@pytest.mark.parametrize(
    ("of_server", "of_handler"), [({"data_size_limit": 300_000}, {}), ({}, {"max_size_bytes": "300 KiB"})]
)
def test_an_attachment_that_is_too_large_is_left_out_and_the_mail_says_so(
    of_server: dict[str, Any], of_handler: dict[str, Any], large_event: Event
):
    with serving("none", **of_server) as (mailbox, server):
        assert handler_for(server, "none", **of_handler).send_event(large_event) is True
    ((_, message, _),) = mailbox.mails
    assert names_of_parts(message) == ["log", "page.html", "old.tar.gz"]
    body = message.get_body()
    assert body is not None
    assert "left out, since it is too large to be mailed: core (400,000 bytes, " in body.get_content()


def test_a_mail_that_the_server_finds_too_large_goes_without_attachments(large_event: Event):
    class Small(Mailbox):
        async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
            content = envelope.content or b""
            if len(content) > 5_000:
                return "552 5.3.4 too large"
            return await super().handle_DATA(server, session, envelope)

    with serving("none", mailbox=Small(), data_size_limit=None) as (mailbox, server):
        assert handler_for(server, "none").send_event(large_event) is True
    ((_, message, _),) = mailbox.mails
    assert names_of_parts(message) == []
    assert "core (400,000 bytes" in message.get_content()


@pytest.mark.parametrize("farewell", ["421 going down", None])
def test_a_mail_that_was_taken_is_sent_whatever_the_server_answers_to_quit(farewell: str | None, event: Event):
    class Leaves(Mailbox):
        async def handle_QUIT(self, server: SMTP, _session: Session, _envelope: Envelope) -> str:  # noqa: N802
            if farewell is None:
                server.transport.abort()
            return farewell or "221 Bye"

    with serving("none", mailbox=Leaves()) as (mailbox, server):
        assert handler_for(server, "none").send_event(event) is True
    assert len(mailbox.mails) == 1
