"""What the collector's operator is told of requests that are answered with 401."""

from __future__ import annotations

import logging

import pytest
from support.collector_process import CollectorProcess
from support.waiting import wait_until

from eventpub.collector.telemetry.refused import _REMEDIES, RefusedLog


def test_each_known_key_gets_its_line_and_made_up_names_share_one(caplog):
    now = [0.0]
    log = RefusedLog(lambda: now[0])
    for number in range(1000):
        log.note({"claimed_key": f"made-up-{number}", "cause": "unknown_key"}, "192.0.2.1")
    for key in ("shop", "cart", "shop"):
        log.note({"claimed_key": key, "cause": "wrong_signature"}, "192.0.2.2")
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 3
    assert [record.message.partition(" client=")[2] for record in caplog.records] == [
        "192.0.2.1 claimed_key=made-up-0 cause=unknown_key",
        "192.0.2.2 claimed_key=shop cause=wrong_signature",
        "192.0.2.2 claimed_key=cart cause=wrong_signature",
    ]
    now[0] = 5.0
    log.tell_left_out()
    assert [" suppressed=999 " in caplog.messages[3], " suppressed=1 " in caplog.messages[4]] == [True, True]


def test_a_clock_that_is_wrong_is_told_with_its_seconds(caplog):
    RefusedLog().note({"claimed_key": "shop", "cause": "date_off", "date_off_by_seconds": -612}, "::1")
    assert "clock and NTP" in caplog.messages[0]
    assert caplog.messages[0].endswith("client=::1 claimed_key=shop cause=date_off date_off_by_seconds=-612")


@pytest.mark.parametrize("cause", _REMEDIES)
def test_no_name_breaks_a_line_or_fills_the_log(caplog, cause):
    RefusedLog().note({"claimed_key": "\n\x1b[31m" * 500, "cause": cause}, "::1")
    (record,) = caplog.records
    assert ("\n" in record.message, "\x1b" in record.message, len(record.message) < 800) == (False, False, True)


def test_a_real_collector_says_it_at_level_warning_whatever_the_access_log_does(tmp_path, nursery):
    with CollectorProcess(tmp_path, settings={"log.level": "warning"}, nursery=nursery) as collector:
        answer = collector.post(b"[]", {"X-Signature": f"key=Shop, mac={'0' * 64}"})
        assert (answer.status_code, "shop" in answer.text.lower()) == (401, False)
        wait_until(lambda: "claimed_key=shop cause=unknown_key" in collector.log(), "its line")
        assert "request is refused with 401: name the key in [keys]" in collector.log()
        assert "method=POST" not in collector.log()
