"""Whose signature it is."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpub import wire
from eventpub.collector.signatures import Keyring, has_http_signature, measure_skew, signed_request
from eventpub.wire import http_signature

NOW = 1_618_884_473
DATE = "Tue, 20 Apr 2021 02:07:53 GMT"
BODY = b'[{"example": "value"}]'
MAC = "7c46d56b99cd4cb05e08238c1d4c10a2f330795e9d7327f17cc66fd206bf1179"
KEYRING = Keyring({"test": (b"hunter2",), "rotating": (b"old", b"new")})


def test_the_known_answer_is_accepted():
    assert KEYRING.signer(f"key=test, mac={MAC}", BODY) == "test"


def test_names_and_macs_are_taken_in_any_case():
    assert KEYRING.signer(f"key=Test, mac={MAC.upper()}", BODY) == "test"


@pytest.mark.parametrize("secret", [b"old", b"new"])
def test_every_secret_of_a_name_is_accepted(secret):
    assert KEYRING.signer(wire.signature("rotating", secret, BODY), BODY) == "rotating"


@pytest.mark.parametrize(
    "signature",
    [
        "",
        f"key=unknown, mac={MAC}",
        f"key=rotating, mac={MAC}",
        f"key=test, mac={MAC[:-1]}8",
        f"key=test, mac={MAC[:-1]}",
        f"key=test mac={MAC}",
        f"mac={MAC}",
        MAC,
        f"key=test, mac={MAC},key=test, mac={MAC}",
    ],
)
def test_anything_else_is_nobodys(signature):
    assert KEYRING.signer(signature, BODY) is None


def test_another_body_is_nobodys():
    assert KEYRING.signer(f"key=test, mac={MAC}", BODY + b" ") is None


def test_every_refusal_takes_the_same_time():
    """Without the macs over dummy secrets, an unknown name would be refused some hundred times faster."""
    body = bytes(1024 * 1024)

    def seconds(signature: str) -> float:
        started = time.process_time()
        assert KEYRING.signer(signature, body) is None
        return time.process_time() - started

    signatures = [f"key={name}, mac={MAC}" for name in ("test", "rotating", "unknown")] + ["malformed", ""]
    fastest = [min(seconds(signature) for _ in range(15)) for signature in signatures]
    assert max(fastest) < 1.6 * min(fastest)


# --- HTTP Message Signatures -------------------------------------------------------------------------------


def http_signed(key_name: str, secret: bytes) -> http_signature.Request:
    request = http_signature.Request("POST", "http://c/v2j", {"Date": DATE, "Idempotency-Key": "batch"})
    http_signature.sign_request(request, BODY, key_name=key_name, secret=secret, now=NOW)
    return request


@pytest.mark.parametrize(
    ("key_name", "secret", "signer"),
    [
        ("test", b"hunter2", "test"),
        ("Test", b"hunter2", "test"),
        ("rotating", b"old", "rotating"),
        ("rotating", b"new", "rotating"),
        ("test", b"hunter3", None),
        ("test", b"old", None),
        ("unknown", b"hunter2", None),
        ("", b"hunter2", None),
    ],
)
def test_an_http_message_signature_is_that_of_the_key_it_names(key_name, secret, signer):
    assert KEYRING.http_signer(http_signed(key_name, secret), BODY, window_seconds=0) == signer


def test_its_times_are_taken_as_the_window_says():
    request = http_signed("test", b"hunter2")
    request.headers["Signature-Input"] += f";expires={NOW}"
    assert KEYRING.http_signer(request, BODY, window_seconds=0) is None  # nobody signed that
    for name in ("Content-Digest", "Signature", "Signature-Input"):
        del request.headers[name]
    http_signature.sign_request(request, BODY, key_name="test", secret=b"hunter2", now=time.time() + 500)
    assert KEYRING.http_signer(request, BODY, window_seconds=100) is None
    assert KEYRING.http_signer(request, BODY, window_seconds=600) == "test"
    assert KEYRING.http_signer(request, BODY, window_seconds=0) == "test"


def test_what_a_request_is_is_read_from_its_environ():
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/v2", "wsgi.url_scheme": "https", "QUERY_STRING": ""}
    assert not has_http_signature(environ)
    environ |= {"HTTP_HOST": "collector:8443", "CONTENT_TYPE": "application/json", "HTTP_X_SIGNATURE": "x"}
    assert not has_http_signature(environ)
    assert has_http_signature({**environ, "HTTP_SIGNATURE": ""})
    assert has_http_signature({**environ, "HTTP_SIGNATURE_INPUT": ""})
    headers = {"HOST": "collector:8443", "CONTENT-TYPE": "application/json", "X-SIGNATURE": "x"}
    request = signed_request(environ)
    assert (request.method, request.url, request.headers) == ("POST", "https://collector:8443/v2", headers)
    assert signed_request({**environ, "QUERY_STRING": "a=b"}).url.endswith("/v2?a=b")


# --- dates -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("date", "skew_seconds"),
    [
        ("Tue, 20 Apr 2021 02:07:53 GMT", 0),
        ("Tue, 20 Apr 2021 02:17:53 GMT", 600),
        ("Tue, 20 Apr 2021 01:57:52 GMT", -601),
        ("Tue, 20 Apr 2021 04:07:53 +0200", 0),
        ("Tue, 20 Apr 2021 02:07:53 -0000", 0),
        ("Tuesday, 20-Apr-21 02:07:53 GMT", 0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", -NOW),
        ("Fri, 31 Dec 9999 23:59:59 -2359", 251_783_502_666),
        ("Mon, 01 Jan 0001 00:00:00 +2359", -640_663_613),  # two digits of a year are those of this century
        ("1618884473", None),
        ("now", None),
        ("", None),
    ],
)
def test_a_date_is_so_many_seconds_ahead_or_behind(date, skew_seconds):
    assert measure_skew(date, NOW) == skew_seconds


@given(st.text(max_size=60))
def test_no_text_for_a_date_raises(date):
    skew_seconds = measure_skew(date, NOW)
    assert skew_seconds is None or isinstance(skew_seconds, float)


def test_secrets_are_not_shown():
    assert repr(KEYRING) == "<Keyring of 2 keys>"
