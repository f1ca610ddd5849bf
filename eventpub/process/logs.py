"""The log of a program: one record, one line on standard error, as text or as JSON.

A line is written as a sentence, then NAME=%s for each fact; where facts are known only at run time,
`write_line` makes such a template. In text such a line is for people; in JSON its facts are `fields` with types
of their own. What holds for all lines of a process, such as its queue and slot, is given once.

No line has control characters, or users and passwords of URLs, whoever wrote what is in it.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from contextlib import suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import gevent

from eventpub.errors import ConfigError
from eventpub.printable import PrintableFormatter, escape_controls, hide_userinfo
from eventpub.settings import ini

from .descriptors import explain_error, name_remedy

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

FORMAT = ini.choice("text", "json")
LEVEL = ini.choice("debug", "info", "warning", "error")

_TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_PLAIN_WORD = re.compile(r"[\w./:@+-]+", re.ASCII)
_PLACE = re.compile(r"(?P<fact>\s*\b(?P<name>[\w.]+)=)?%(?:%|[-#0 +]*[\d.]*(?P<kind>[a-z]))")

logger = logging.getLogger(__name__)
_context: dict[str, object] = {}


def configure_logs(form: str, level: str) -> None:
    """Write the log like this from now on; may be called again.

    Args:
        form: `text` or `json`.
        level: the least level that is written: `debug`, `info`, `warning` or `error`.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter(_TEXT))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    sys.excepthook = lambda *problem: logger.critical("the program broke", exc_info=problem)
    gevent.get_hub().print_exception = _log_greenlet


def add_context(**facts: object) -> None:
    """Have these facts in every further line, besides those of earlier calls."""
    _context.update(facts)


def peek_format(path: str | os.PathLike[str], section: str) -> str:
    """Return the log.format that a file asks for, whatever else is wrong with it; by default `text`."""
    with suppress(ConfigError, ValueError):
        asked = ini.load_file(path).get(section, "log.format", fallback="text")
        return FORMAT.parse(ini.expand_variables(section, "log.format", asked) or "text")
    return "text"


def write_line(log: logging.Logger, level: int, sentence: str, facts: Mapping[str, object]) -> None:
    """Write a line with facts that are known only at run time."""
    if log.isEnabledFor(level):
        places = "".join(f" {name}={_place_for(value)}" for name, value in facts.items())
        template = f"{sentence.replace('%', '%%')}{places}"
        log.log(level, template, *facts.values())


class TextFormatter(PrintableFormatter):
    """Writes the line as it is, then the facts of the process that it does not have itself."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802, logging's name
        """Return the line, without the traceback."""
        line = super().formatMessage(record)
        missing = [f" {name}={value}" for name, value in _context.items() if f" {name}=" not in line]
        return line + "".join(missing)


class JsonFormatter(logging.Formatter):
    """Writes a JSON object on one line: time (UTC), level, logger, message, fields, perhaps exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        message, fields = split_record(record)
        document: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": hide_userinfo(message),
            "fields": {name: _make_plain(value) for name, value in (fields | _context).items()},
        }
        if record.exc_info:
            document["exception"] = hide_userinfo(self.formatException(record.exc_info))
        return escape_controls(json.dumps(document, ensure_ascii=False))


def split_record(record: logging.LogRecord) -> tuple[str, dict[str, object]]:
    """Return what a record says as a sentence, and its facts: what stands as NAME=%s in its template."""
    if not isinstance(record.msg, str) or not isinstance(record.args, tuple) or not record.args:
        return record.getMessage(), {}
    fields: dict[str, object] = {}
    rest: list[object] = []
    values = iter(record.args)

    def take(place: re.Match[str]) -> str:
        if place["kind"] is None:
            return place[0]
        value = next(values)
        if place["name"] is None:
            rest.append(value)
            return place[0]
        fields[place["name"]] = value
        return ""

    try:
        return (_PLACE.sub(take, record.msg) % tuple(rest)).strip(), fields
    except (StopIteration, TypeError, ValueError):  # a library's line that is no such template
        return record.getMessage(), {}


def _place_for(value: object) -> str:
    return "%r" if isinstance(value, str) and not _PLAIN_WORD.fullmatch(value) else "%s"


def _make_plain(value: object) -> object:
    if value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and value - value == 0):
        return value
    return hide_userinfo(str(value))


def _log_greenlet(greenlet: object, kind: Any, error: Any, trace: Any) -> None:
    if isinstance(error, OSError) and name_remedy(error):  # from accepting a connection; it is tried again
        logger.error("what asks has to wait: %s", explain_error(error))
        return
    logger.error("a part of the program broke greenlet=%r", greenlet, exc_info=(kind, error, trace))
