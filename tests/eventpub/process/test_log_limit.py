"""Lines that come again and again."""

from __future__ import annotations

import logging
import re

import pytest

from eventpub.process.log_limit import LOG_SECONDS, LogLimit


def test_every_line_is_either_written_or_counted(caplog):
    now = [0.0]
    limit = LogLimit(logging.getLogger("x"), lambda: now[0])
    for step in range(100):
        limit.log(logging.WARNING, "a thing happened", {"step": step}, kind={"to": "somebody"}, events=2)
        now[0] += LOG_SECONDS / 7
        if step % 3 == 0:
            limit.tell_left_out()
    limit.tell_left_out(at_once=True)
    lines = [record.message for record in caplog.records]
    words = [word.partition("=") for line in lines for word in line.split()]
    assert len(lines) < 40
    assert sum("step=" in line for line in lines) + sum(int(n) for k, _, n in words if k == "suppressed") == 100
    written = sum("step=" in line for line in lines)
    assert 2 * written + sum(int(n) for key, _, n in words if key == "events_in_them") == 200
    assert all("to=somebody" in line for line in lines)


SINCE = "12:04:37"


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged, with another time of day."""
    return [re.sub(r"since=\d\d:\d\d:\d\d$", f"since={SINCE}", record.message) for record in caplog.records]


def test_a_line_after_a_quiet_time_tells_what_was_left_out_of_it_where_nobody_has_yet(caplog):
    now = [0.0]
    limit = LogLimit(logging.getLogger("x"), lambda: now[0])
    limit.log(logging.ERROR, "it failed", {"n": 1})
    limit.log(logging.ERROR, "it failed", {"n": 2})
    now[0] = LOG_SECONDS
    limit.log(logging.ERROR, "it failed", {"n": 3})
    assert messages(caplog) == [
        "it failed n=1",
        f"it failed n=3 suppressed=1 since={SINCE}",
    ]


def test_nothing_is_said_where_nothing_was_left_out(caplog):
    limit = LogLimit(logging.getLogger("x"))
    limit.log(logging.ERROR, "it failed", {"n": 1})
    limit.tell_left_out(at_once=True)
    assert len(caplog.records) == 1


def test_what_is_over_is_told_at_once_as_information_and_never_again(caplog):
    caplog.set_level(logging.INFO)
    limit = LogLimit(logging.getLogger("x"))
    for fact in ("it is down", "it is broken"):
        limit.log(logging.ERROR, fact, {"n": 1})
        limit.log(logging.ERROR, fact, {"n": 2})
    limit.over(["it is down", "it never was"])
    limit.over(["it is down", "it never was"])
    limit.tell_left_out(at_once=True)
    levels = [record.levelname for record in caplog.records]
    assert list(zip(levels, messages(caplog), strict=True))[2:] == [
        ("INFO", f"recovered: it is down suppressed=1 since={SINCE}"),
        ("ERROR", f"it is broken suppressed=1 since={SINCE}"),
    ]
