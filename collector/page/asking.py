"""`GET /micro/good?noun=tea&wait=5s&count=3`: the kept entries that a test asks for, and waiting for them.

A parameter that is not one of ours is the path of a field in the event, `user.id`, and the value it must have,
as text or as JSON. `event.wait` is the field `wait` of an event, and `@key` is what the entry says beside its
event.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import gevent
import msgspec

from eventpub.collector.responses import RefusedError, refuse
from eventpub.settings import ini

from .kept import Place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .feed import Feed

OUTCOMES = {"all": "", "good": "stored", "bad": "refused"}

_WAIT, _COUNT, _LIMIT = "wait", "count", "limit"
_KINDS: Mapping[str, ini.Kind[Any]] = {
    _WAIT: ini.seconds(0, 60),
    _COUNT: ini.integer(1, 1_000_000),
    _LIMIT: ini.integer(0, 100_000),
}
_DEFAULT_LIMIT = 1000
_PORTION_EVENTS = 200  # read before other greenlets have their turn: 1 ms
_POLL_SECONDS = 0.05
_FIELDS_OF_QUERY = 20


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked for.

    Attributes:
        outcome: that entries must have; empty for any.
        fields: path and text of each value that they must have.
        wait_seconds: how long to wait for them.
        count: how many must be there; 0 if any number will do.
        limit: how many are given, the newest.
    """

    outcome: str
    fields: tuple[tuple[str, str], ...]
    wait_seconds: float
    count: int
    limit: int

    def admits(self, line: str) -> bool:
        """Return whether an entry is one of those asked for."""
        if self.outcome and f'"outcome":"{self.outcome}"' not in line[:60]:
            return False
        if not self.fields:
            return True
        if not all(value in line for _, value in self.fields if value.isascii() and value.isalnum()):
            return False  # before it is parsed
        try:
            entry = msgspec.json.decode(line)
        except (msgspec.MsgspecError, RecursionError):
            return False
        return all(_has_value(entry, path, value) for path, value in self.fields)


def read_question(outcome: str, query: str) -> Question:
    """Return what a query asks for.

    Raises:
        RefusedError: a parameter makes no sense.
    """
    ours: dict[str, Any] = {}
    fields = []
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=_FIELDS_OF_QUERY
        )
    except ValueError as error:
        raise RefusedError(refuse(400, "bad_query", f"the query cannot be read: {error}")) from None
    for name, value in pairs:
        if name not in _KINDS:
            fields.append((name, value))
            continue
        try:
            ours[name] = _KINDS[name].parse(value)
        except ValueError:
            reason = (
                f"{name}={value[:40]}: expected {_KINDS[name].allowed}; a field of that name is event.{name}"
            )
            raise RefusedError(refuse(400, "bad_query", reason)) from None
    count = ours.get(_COUNT, 1 if _WAIT in ours else 0)
    limit = ours.get(_LIMIT, _DEFAULT_LIMIT)
    return Question(OUTCOMES[outcome], tuple(fields), ours.get(_WAIT, 0.0), count, limit)


def answer_question(feed: Feed, question: Question) -> tuple[int, bytes]:
    """Return status and body of the answer: 404 if less is there than was asked for, once the wait is over."""
    deadline = time.monotonic() + question.wait_seconds
    epoch, place = "", Place()
    found: list[str] = []
    while True:
        if epoch != feed.epoch:
            epoch, place, found = feed.epoch, Place(), []
        portion = feed.read(place, _PORTION_EVENTS)
        place = portion.place
        found += filter(question.admits, portion.lines)
        if portion.has_more:
            gevent.sleep(0)
            continue
        if len(found) >= question.count or time.monotonic() >= deadline or feed.is_closed:
            break
        gevent.sleep(_POLL_SECONDS)
    is_enough = len(found) >= question.count
    totals = dict(zip(("good", "bad", "duplicate"), feed.tallies.totals, strict=True))
    fields: dict[str, object] = {"matched": len(found), **totals}
    if not is_enough:
        reason = f"{len(found)} of {question.count} such events came within {question.wait_seconds:g} s"
        fields |= {"error": "not_enough", "reason": reason}
    shown = found[len(found) - min(question.limit, len(found)) :]
    members = json.dumps(fields)[1:-1]
    events = ",\n".join(shown)
    return 200 if is_enough else 404, f'{{{members}, "events": [\n{events}\n]}}\n'.encode()


def _has_value(entry: dict[str, Any], path: str, text: str) -> bool:
    if path.startswith("@"):
        place: Any = {key: value for key, value in entry.items() if key != "event"}
        path = path[1:]
    else:
        place = entry["event"]
        inner = path.removeprefix("event.")
        if inner != path and not (isinstance(place, dict) and "event" in place):
            path = inner
    if isinstance(place, dict) and path in place:  # a name with dots in it
        return _is_written(place[path], text)
    for step in path.split("."):
        if isinstance(place, dict) and step in place:
            place = place[step]
        elif isinstance(place, list) and step.isdecimal() and int(step[:9]) < len(place):
            place = place[int(step[:9])]
        else:
            return False
    return _is_written(place, text)


def _is_written(value: object, text: str) -> bool:
    return text == (value if isinstance(value, str) else msgspec.json.encode(value).decode())
