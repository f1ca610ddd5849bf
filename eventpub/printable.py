r"""What others wrote -> what may be shown on a terminal or in a log: no control characters, no passwords.

Characters become JSON escapes (`\u001b`), so that a line of JSON means the same after it.
"""

from __future__ import annotations

import logging
import re

# C0 but tab and newline, DEL, C1, what changes the direction or ends a line, halves of surrogate pairs
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufdd0-\ufdef\ufeff\ud800-\udfff]"
)
_USERINFO = re.compile(r"(?<=//)[^\s\"'<>]{0,2000}@")  # up to the last @: a password may hold / # and @
_BARE_USERINFO = re.compile(
    r"(?<![^\s\"'(=,])[^\s\"'/:,=]{0,200}:(?!//\.\.\.@)[^\s\"']{0,2000}@(?=[\w\[])"
)  # USER:PASSWORD@HOST


def escape_controls(text: str) -> str:
    """Write the characters that control a terminal as JSON does; tab and newline stay."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def hide_userinfo(text: str) -> str:
    """Replace users and passwords of URLs in a text by `...`, also where the URL is malformed."""
    if "@" not in text:
        return text
    return _BARE_USERINFO.sub("...@", _USERINFO.sub("...@", text))


class PrintableFormatter(logging.Formatter):
    """A log line is one line without control characters or passwords; a traceback keeps its lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802, logging's name
        """Return the line, without the traceback."""
        return super().formatMessage(record).replace("\n", "\\n")

    def format(self, record: logging.LogRecord) -> str:
        """Return all that is written of a record."""
        return hide_userinfo(escape_controls(super().format(record)))


class MessageFormatter(PrintableFormatter):
    """What a command logs is a message to its user, who reads several lines as such."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802, logging's name
        """Return the message, without the traceback."""
        return logging.Formatter.formatMessage(self, record)


def configure_logging(level: int, form: str) -> None:
    """Write what a command logs to standard error, without control characters."""
    handler = logging.StreamHandler()
    handler.setFormatter(MessageFormatter(form))
    logging.basicConfig(level=level, handlers=[handler])
