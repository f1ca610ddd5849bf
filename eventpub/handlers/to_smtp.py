"""`smtp`: each event becomes a mail, with its JSON as text and its attachments as parts.

The connection is encrypted, and the server's certificate verified, unless `tls = none` says otherwise.
"""

from __future__ import annotations

import contextlib
import logging
import re
import smtplib
import ssl
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Literal

from eventpub.errors import HandlerError
from eventpub.pipeline import name_for_log
from eventpub.settings import address, ini

from . import secret
from .configured import ConfiguredHandler
from .content import attachments_of
from .mail import write_mail

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

_ADDRESS = re.compile(
    r"[!-+\--;=?-~]+@[!-+\--;=?-~]+"
)  # printable ASCII without blanks, commas and angle brackets
_TOO_LARGE = {523, 552}  # the codes of RFC 5321 and some servers for a mail beyond their limit
_TEXT_BYTES = 64 * 1024  # kept free for the text: what an event has, with room for headers
_PORTS = {"starttls": 587, "ssl": 465, "none": 25}


def _address_kind() -> ini.Kind[tuple[str, ...]]:
    def parse(value: str) -> tuple[str, ...]:
        addresses = tuple(address.strip() for address in value.split(","))
        if not all(map(_ADDRESS.fullmatch, addresses)):
            raise ValueError
        return addresses

    return ini.Kind(parse, "addresses such as ci@example.com, with commas between them")


@dataclass(frozen=True)
class SmtpHandler(ConfiguredHandler):
    """Mails events.

    Args:
        server: host or host:port; the default port is 587, or 465 with `tls` ssl, or 25 with none.
        sender: the address of the sender.
        recipients: the addresses of the recipients.
        subject: put in front of the event's name in the subject; "Event" by default.
        tls: "starttls", "ssl", or "none" for a server on this host.
        ca_file: certificates to trust; default: those of this machine.
        username: to log in, which requires TLS; default: no login.
        password_file: the file with its password; or `password_variable`, the environment variable with it.
        timeout_seconds: for connecting, and for each wait for the server.
        max_size_bytes: of a mail, 20 MiB by default; larger attachments are left out, and the mail says so.
    """

    server: str = ini.setting("server", address.server())
    _: KW_ONLY
    sender: str = ini.setting("sender", ini.text("an address such as ci@example.com", _ADDRESS.pattern))
    recipients: tuple[str, ...] | list[str] | set[str] | str = ini.setting("recipients", _address_kind())
    subject: str = ini.setting("subject", ini.text("a text of one line", r"[^\r\n\0]+"), default="Event")
    tls: Literal["starttls", "ssl", "none"] = ini.setting("tls", ini.choice(*_PORTS), default="starttls")
    ca_file: Path | None = ini.setting("ca_file", ini.path(), default=None)
    username: str | None = ini.setting("username", ini.text(), default=None)
    password_file: Path | None = ini.setting("password_file", ini.path(), default=None)
    password_variable: str | None = ini.setting(
        "password_variable", ini.text("a variable's name"), default=None
    )
    timeout_seconds: float = ini.setting("timeout_seconds", ini.seconds(0.05, 600), default=30.0)
    max_size_bytes: int = ini.setting("max_size_bytes", ini.size(100_000, 1 << 30), default=20 << 20)

    def check(self) -> None:
        """Raise HandlerError for a user without password, a password without user, or a login in clear text."""
        if self.username is None:
            if self.password_file or self.password_variable:
                raise HandlerError(type(self).__name__, "a password needs a username; give both")
        else:
            secret.check_secret(type(self).__name__, "password", self.password_file, self.password_variable)
            if self.tls == "none":
                raise HandlerError(type(self).__name__, "a password is never sent in clear text; set tls")

    def send_event(self, event: Any) -> bool:
        """Mail an event, and return whether the server took it for all recipients.

        Attachments that the mail, or the server, has no room for are left out, and the mail says so.
        """
        connection = self._connection()
        try:
            connection.ehlo_or_helo_if_needed()
            refused = self._send(connection, event)
        finally:
            with contextlib.suppress(Exception):  # the server has what it took, even if this fails
                connection.quit()
            connection.close()
        if refused:
            logger.error("event %r: the mail server refused %s", name_for_log(event), refused)
        return not refused

    def _send(self, connection: smtplib.SMTP, event: Any) -> dict[str, tuple[int, bytes]]:
        size = connection.esmtp_features.get("size", "")
        server_bytes = int(size) if size.isdecimal() and int(size) else self.max_size_bytes
        limit_bytes = min(self.max_size_bytes, server_bytes) - _TEXT_BYTES
        try:
            return self._send_up_to(limit_bytes, connection, event)
        except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
            is_too_large = error.smtp_code in _TOO_LARGE or b"5.3.4" in _as_bytes(error.smtp_error)
            if not is_too_large or not list(attachments_of(event)):
                raise
        return self._send_up_to(-1, connection, event)

    def _send_up_to(
        self, limit_bytes: int, connection: smtplib.SMTP, event: Any
    ) -> dict[str, tuple[int, bytes]]:
        recipients = list(self.recipients)
        message = write_mail(
            event,
            sender=self.sender,
            recipients=recipients,
            subject=self.subject,
            max_attachments_bytes=limit_bytes,
        )
        return connection.send_message(message, self.sender, recipients)

    def _connection(self) -> smtplib.SMTP:
        host, port = address.host_and_port(self.server)
        port = port or _PORTS[self.tls]
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.tls == "ssl":
            connection: smtplib.SMTP = smtplib.SMTP_SSL(
                host, port, timeout=self.timeout_seconds, context=context
            )
        else:
            connection = smtplib.SMTP(host, port, timeout=self.timeout_seconds)
        try:
            if self.tls == "starttls":
                connection.starttls(context=context)
            if self.username is not None:
                password = secret.read_secret(
                    type(self).__name__, "password", self.password_file, self.password_variable
                )
                connection.login(self.username, password)
        except BaseException:
            connection.close()
            raise
        return connection


def _as_bytes(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode()
