"""What an answer means: `sidecar/delivery/answer.py`."""

from __future__ import annotations

import gzip
import json
import zlib
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpub import wire
from eventpub.sidecar.delivery.answer import MAX_REASON_CHARACTERS, Answer, Rejection, judge_answer
from eventpub.sidecar.telemetry.verdicts import Verdict

NOW = 1_700_000_000.0


def answer(status: int = 200, body: bytes = b"", **headers: str) -> Answer:
    return Answer.of(status, {name.replace("_", "-"): value for name, value in headers.items()}, body, NOW)


# --- the table of DESIGN.md


@pytest.mark.parametrize(
    ("verdict", "statuses"),
    [
        (Verdict.ACCEPTED, [*range(200, 300)]),
        (Verdict.BISECT, [400, 422]),
        (Verdict.HALVE, [413]),
        (Verdict.HOLD, [401, 403]),
        (Verdict.RECODE, [415]),
        (Verdict.RETRY, [408, 429, *range(500, 600)]),
        (
            Verdict.MISCONFIGURED,
            [
                status
                for status in (*range(100, 200), *range(300, 500), *range(600, 1000))
                if status not in (400, 401, 403, 408, 413, 415, 422, 429)
            ],
        ),
    ],
)
def test_each_status_has_the_meaning_of_the_table(verdict, statuses):
    assert {judge_answer(answer(status)) for status in statuses} == {verdict}


def test_no_answer_means_another_attempt():
    assert judge_answer(Answer.none("refused", "Connection refused")) is Verdict.RETRY


# --- Retry-After


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("301", 300),  # the cap
        ("99999999999999999999", 300),
        (formatdate(NOW + 42, usegmt=True), 42),
        (formatdate(NOW - 42, usegmt=True), 0),
        (formatdate(NOW + 86_400, usegmt=True), 300),
        ("Tuesday, 14-Nov-23 22:13:50 GMT", 30),  # RFC 850, which HTTP still allows
        ("Tue Nov 14 22:13:50 2023", 30),  # asctime, likewise
    ],
)
def test_retry_after_is_seconds_or_a_date_and_five_minutes_at_most(header, seconds):
    assert answer(503, Retry_After=header).retry_after_seconds == pytest.approx(seconds)


@pytest.mark.parametrize(
    "header", ["", "soon", "-5", "1.5", "nan", "inf", "1e9", "٣", "0x10", "Tue, 99 Nov 2023"]
)
def test_a_retry_after_that_is_neither_is_ignored(header):
    assert answer(503, Retry_After=header).retry_after_seconds is None


# --- what the collector accepts


@pytest.mark.parametrize(
    ("header", "codings"),
    [
        ("zstd", {"zstd"}),
        ("gzip, ZSTD;q=0.5", {"gzip", "zstd"}),
        ("gzip,zstd ; q=1", {"gzip", "zstd"}),
        ("gzip, zstd;q=0", {"gzip"}),
        ("zstd; q=0.000", set()),
        ("*", set()),
        ("gzip, *;q=0.1", set()),
        ("zstdx", {"zstdx"}),
        (" , ", set()),
        ("", set()),
    ],
)
def test_codings_are_what_the_answer_lists(header, codings):
    assert answer(Accept_Encoding=header).codings == codings


# --- pages

HTML = "text/html; charset=utf-8"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (HTML, b"<!DOCTYPE html><title>Log in to the network</title>"),
        (HTML, b"\xef\xbb\xbf\r\n <html lang=en>"),
        (HTML, b"<!-- login --><script>location='http://portal/'</script>"),
        ("application/xhtml+xml", b'<?xml version="1.0"?><html>'),
        ("", b"<html>"),
        ("text/plain", b"\n<!doctype HTML>"),
        ("", b"<!-- welcome -->\n<html>"),
        (
            "",
            b'<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0//EN">',
        ),
        ("", b"<script>location='http://portal/'</script>"),
        ("text/plain", b'<meta http-equiv="refresh" content="0; url=http://portal/">'),
        ("", b"<head><title>Log in</title></head>"),
        (HTML, "<p>log in</p>".encode("utf-16")),
        ("", "<html>log in</html>".encode("utf-16-be")),
    ],
)
def test_web_page_is_no_acceptance(content_type, body):
    """What a captive portal says to everything; it has not stored anything."""
    assert judge_answer(answer(200, body, Content_Type=content_type)) is Verdict.MISCONFIGURED


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("", b""),
        (HTML, b""),
        (HTML, b"OK"),  # the default type of Flask and Django
        ("text/plain", b"ok"),
        ("text/plain", b"200 OK\n\n\n"),
        ("application/json", b'{"message": "<html>"}'),
        ("application/xml", b"<accepted/>"),
        ("application/xml", b'<?xml version="1.0"?><answer><body>ok</body></answer>'),
        ("image/gif", b"GIF89a"),
    ],
)
def test_any_other_body_of_a_2xx_is_acceptance(content_type, body):
    assert judge_answer(answer(200, body, Content_Type=content_type)) is Verdict.ACCEPTED


PAGE = b"<!DOCTYPE html><title>Log in to the network</title>" + b"<p>" * 100_000


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(PAGE, mtime=0)),
        ("X-GZIP", gzip.compress(PAGE, mtime=0)[:100]),  # the beginning of a long one
        ("deflate", zlib.compress(PAGE)),
        ("deflate", zlib.compress(PAGE)[2:]),  # as some servers understand the word
        ("br", b"\x1b\xff\xff"),
        ("zstd", b"\x28\xb5\x2f\xfd"),
    ],
)
def test_web_page_is_no_acceptance_though_it_comes_compressed(coding, body):
    """Nobody asked for that: a portal does not read what it is asked."""
    read = answer(200, body, Content_Type=HTML, Content_Encoding=coding)
    assert judge_answer(read) is Verdict.MISCONFIGURED


@pytest.mark.parametrize("body", [b"", b"ok", gzip.compress(b"ok", mtime=0)])
def test_any_other_body_is_acceptance_though_it_is_said_to_be_compressed(body):
    read = answer(200, body, Content_Type="text/plain", Content_Encoding="gzip")
    assert (judge_answer(read), read.reason) == (Verdict.ACCEPTED, "ok" if body else "")


@pytest.mark.parametrize("status", [400, 422])
def test_page_says_nothing_about_the_events(status):
    assert judge_answer(answer(status, b"<html>", Content_Type=HTML)) is Verdict.MISCONFIGURED


@pytest.mark.parametrize("status", [status for status in range(300, 600) if status not in (400, 422)])
def test_page_changes_nothing_about_any_other_status(status):
    assert judge_answer(answer(status, b"<html>", Content_Type=HTML)) is judge_answer(answer(status))


@pytest.mark.parametrize("error", sorted(wire.TRANSPORT_ERRORS))
def test_request_that_was_spoilt_on_its_way_says_nothing_about_the_events(error):
    body = json.dumps({"error": error, "reason": "no"}).encode()
    assert judge_answer(answer(400, body)) is Verdict.MISCONFIGURED


@pytest.mark.parametrize(
    "body",
    [b"", b"Bad Request", b'{"message":"no"}', b'{"error":"bad_body","reason":"x"}', b'{"error":7}', b"[]"],
)
@pytest.mark.parametrize("status", [400, 422])
def test_any_other_400_or_422_may_be_about_the_events(status, body):
    assert judge_answer(answer(status, body)) is Verdict.BISECT


def test_batch_that_was_taken_apart_is_taken_apart_again_and_any_other_409_is_not_ours():
    assert judge_answer(answer(409, b'{"error":"taken_apart"}')) is Verdict.HALVE
    assert judge_answer(answer(409, b'{"error":"conflict"}')) is Verdict.MISCONFIGURED


@pytest.mark.parametrize(
    ("status", "document", "is_judgement"),
    [
        (422, {"error": "invalid_events", "rejected": [{"index": 0, "reason": "x"}]}, True),
        (422, {"error": "invalid_events", "rejected": []}, False),
        (422, {"error": "invalid_request", "rejected": [{"index": 0}]}, False),
        (422, {"rejected": [{"index": 0}]}, False),
        (400, {"error": "invalid_events", "rejected": [{"index": 0}]}, False),
    ],
)
def test_only_our_own_form_with_names_is_a_judgement(status, document, is_judgement):
    assert answer(status, json.dumps(document).encode()).is_judgement is is_judgement


# --- rejected events


def test_a_422_names_the_bad_events_and_why():
    body = b'{"rejected":[{"index":3,"reason":"no \\"source\\""},{"index":0}]}'
    assert answer(422, body).rejected == (Rejection(3, 'no "source"'), Rejection(0, ""))
    assert answer(400, body).rejected == ()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"\xff",
        b'{"rejected":{}}',
        b'{"rejected":null}',
        b'{"rejected":[3]}',
        b'{"rejected":[{"index":"3"}]}',
        b'{"rejected":[{"index":true}]}',
        b'{"rejected":[{"index":-1}]}',
        b'{"rejected":[{"index":1.0}]}',
        b'{"rejected":[{"reason":"none named"}]}',
        b'{"rejected":[{"index":3}',
        b"[" * 60_000,
        b'{"rejected":[{"index":' + b"9" * 60_000 + b"}]}",
    ],
)
def test_a_422_that_names_nothing_usable_rejects_nothing_by_name(body):
    assert answer(422, body).rejected == ()


def test_usable_names_among_garbage_are_kept():
    body = json.dumps({"rejected": [None, {"index": 7, "reason": ["a"]}, {"index": []}]}).encode()
    assert answer(422, body).rejected == (Rejection(7, "['a']"),)


# --- what else it tells


def test_batch_and_error_code_are_those_that_the_json_of_eventpubs_collector_names():
    taken = answer(200, b'{"batch_id": "0123abcd", "events": 2, "duplicate": false}\n')
    assert (taken.batch_id, taken.error) == ("0123abcd", "")
    refused = answer(400, b'{"error": "bad_framing", "reason": "the body cannot be read"}\n')
    assert (refused.batch_id, refused.error) == ("", "bad_framing")


def test_a_refused_date_of_eventpubs_collector_is_about_clocks_and_not_about_the_key():
    body = json.dumps({"error": "date_out_of_window", "reason": "3600 s behind"}).encode()
    assert judge_answer(answer(401, body)) is Verdict.MISTIMED
    assert "key" not in Verdict.MISTIMED.advice
    assert Verdict.MISTIMED.is_outage
    assert judge_answer(answer(401, b"date_out_of_window")) is Verdict.HOLD


def test_a_refusal_of_eventpubs_collector_is_told_in_its_words_and_any_other_as_it_came():
    assert answer(401, b'{"error": "unauthorized", "reason": "no key"}').account == "unauthorized: no key"
    assert answer(401, b'{"error": "unauthorized"}').account == '{"error": "unauthorized"}'
    assert answer(502, b"<h1>bad gateway").account == "<h1>bad gateway"


@pytest.mark.parametrize(
    "body",
    [b"", b"ok", b"[]", b'"batch_id"', b'{"batch_id": 7, "error": ["a"]}', b'{"batch_id": "a"', b"{\xff}"],
)
def test_any_other_body_names_neither_batch_nor_error(body):
    assert (answer(200, body).batch_id, answer(200, body).error) == ("", "")


def test_a_redirect_shows_where_it_points():
    moved = answer(302, b"moved", location="https://elsewhere.example/v2")
    assert moved.location == "https://elsewhere.example/v2"
    assert moved.account == "Location: https://elsewhere.example/v2 moved"
    assert moved.reason == "moved"
    assert answer(201, b"made", location="/v2/7").account == "made"


def test_header_names_are_read_in_any_case():
    assert answer(503, retry_after="7").retry_after_seconds == 7
    assert answer(200, ACCEPT_ENCODING="zstd").codings == {"zstd"}


# --- the excerpt


def test_the_reason_is_one_bounded_line():
    body = b"<html>\r\n\x1b[31m  no\x00such\xe2\x80\xa8path \xff\n" + b"x" * 10_000
    reason = answer(404, body).reason
    assert reason.startswith("<html> [31m no such path � xxx")
    assert len(reason) == MAX_REASON_CHARACTERS
    assert reason.isprintable()


def test_no_answer_keeps_its_reason_on_one_line():
    assert Answer.none("tls", "bad\ncertificate") == Answer(None, "tls", "bad certificate")


@given(
    status=st.integers(100, 999),
    retry_after=st.text()
    | st.dates().map(str)
    | st.datetimes().map(lambda when: f"{when:%a, %d %b %Y %H:%M:%S GMT}"),
    accept_encoding=st.text(alphabet="zstdgip,;q=01. *"),
    body=st.binary()
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda v: json.dumps(v).encode()),
)
def test_nothing_the_other_end_writes_raises_or_exceeds_its_bounds(status, retry_after, accept_encoding, body):
    read = answer(status, body, Retry_After=retry_after, Accept_Encoding=accept_encoding)
    judge_answer(read)
    assert read.retry_after_seconds is None or 0 <= read.retry_after_seconds <= 300
    assert len(read.reason) <= MAX_REASON_CHARACTERS
    assert read.reason == "" or read.reason.isprintable()
