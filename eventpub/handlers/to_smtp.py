"""`smtp`: each event becomes a mail, with its JSON as text and its attachments as parts.

The connection is encrypted, and the server's certificate verified, unless `tls = none` says otherwise.
"""

from __future__ import annotations

import contextlib
import json
import logging
import mimetypes
import re
import smtplib
import ssl
from dataclasses import KW_ONLY, dataclass
from email.message import EmailMessage
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Literal

from eventpub.errors import HandlerError
from eventpub.event import unique_id
from eventpub.pipeline import name_for_log, name_of
from eventpub.settings import address, ini

from . import secret
from .configured import ConfiguredHandler
from .content import attachments_of, json_of

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

_ADDRESS = re.compile(
    r"[!-+\--;=?-~]+@[!-+\--;=?-~]+"
)  # printable ASCII without blanks, commas and angle brackets
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
        """Mail an event and return whether the server accepted it for all recipients."""
        message = self._message(event)
        with self._connection() as connection:
            refused = connection.send_message(message, self.sender, list(self.recipients))
        if refused:
            logger.error("event %r: the mail server refused %s", name_for_log(event), refused)
        return not refused

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

    def _message(self, event: Any) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = " ".join(f"{self.subject} {name_of(event)}".split())
        message["From"] = self.sender
        message["To"] = ", ".join(self.recipients)
        message["Date"] = formatdate()
        message["Message-ID"] = f"<{unique_id()}@{self.sender.rpartition('@')[2]}>"
        message.set_content(json.dumps(json.loads(json_of(event)), indent=2, ensure_ascii=False))
        for name, path in attachments_of(event):
            main, _, sub = _type_of(name).partition("/")
            content = path.read_bytes()
            message.add_attachment(
                content, maintype=main, subtype=sub, filename=name, params=_describe_charset(main, content)
            )
        return message


def _type_of(name: str) -> str:
    """Return the media type of a part by its file name, if it can be sent in base64.

    RFC 2046 forbids base64 for messages (message/rfc822) and for multipart types.
    """
    kind, encoding = mimetypes.guess_type(name)
    is_of_use = kind and not encoding and not kind.startswith(("message/", "multipart/"))
    return kind if kind and is_of_use else "application/octet-stream"


def _describe_charset(kind: str, content: bytes) -> dict[str, str]:
    """Return the charset parameter of a text part; without one, mail readers assume ASCII."""
    if kind == "text":
        with contextlib.suppress(UnicodeDecodeError):
            content.decode()
            return {"charset": "utf-8"}
    return {}
