"""Event -> mail: its JSON as the text, its attachments as parts, as far as a mail may be large."""

from __future__ import annotations

import contextlib
import json
import mimetypes
from email.message import EmailMessage
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from eventpub.event import unique_id
from eventpub.pipeline import name_of

from .content import attachments_of, json_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_BASE64 = 1.37  # bytes of a mail for each of an attachment: four for three, and line ends


def write_mail(
    event: Any, *, sender: str, recipients: Sequence[str], subject: str, max_attachments_bytes: float
) -> EmailMessage:
    """Return the mail for an event.

    Args:
        event: any.
        sender: an address.
        recipients: addresses.
        subject: what goes before the event's name.
        max_attachments_bytes: how much of the mail attachments may take; what is beyond is left out, the
            largest first, and the text says so.

    Raises:
        AttachmentError: a file is not there any more.
        EventSerializationError: the event cannot be written.
    """
    message = EmailMessage()
    message["Subject"] = " ".join(f"{subject} {name_of(event)}".split())
    message["From"] = sender
    message["To"] = ", ".join(recipients)
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{unique_id()}@{sender.rpartition('@')[2]}>"
    text = json.dumps(json.loads(json_of(event)), indent=2, ensure_ascii=False)
    parts = {name: (path, path.stat().st_size) for name, path in attachments_of(event)}
    left_out = []
    for name, (path, size_bytes) in sorted(parts.items(), key=lambda part: -part[1][1]):
        if _BASE64 * sum(size for _, size in parts.values()) <= max_attachments_bytes:
            break
        del parts[name]
        left_out.append(f"left out, since it is too large to be mailed: {name} ({size_bytes:,} bytes, {path})")
    message.set_content("\n\n".join([text, *left_out]))
    for name, (path, _) in parts.items():
        main, _, sub = _type_of(name).partition("/")
        content = path.read_bytes()
        message.add_attachment(
            content, maintype=main, subtype=sub, filename=name, params=_describe_charset(main, content)
        )
    return message


def _type_of(name: str) -> str:
    """Return the type of a part by its file's name, where it is of use and may go in base64.

    RFC 2046 forbids that for mails (message/rfc822) and what has parts itself: readers would misread it.
    """
    kind, encoding = mimetypes.guess_type(name)
    is_of_use = kind and not encoding and not kind.startswith(("message/", "multipart/"))
    return kind if kind and is_of_use else "application/octet-stream"


def _describe_charset(kind: str, content: bytes) -> dict[str, str]:
    """Return what a part's type says of its text, which without it is ASCII to the reader of the mail."""
    if kind == "text":
        with contextlib.suppress(UnicodeDecodeError):
            content.decode()
            return {"charset": "utf-8"}
    return {}
