"""One signed request: `sidecar/delivery/payload.py`."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from eventpub import __version__
from eventpub.sidecar.delivery.compression import Codec
from eventpub.sidecar.delivery.payload import Payload, build_payload
from eventpub.wire import http_signature
from eventpub.wire.signing import SigningKey

KEY = SigningKey("web", b"hunter2")
BATCH_ID = "0123456789abcdef0123456789abcdef"


def pay(**changes: object) -> Payload:
    facts = {"batch_id": BATCH_ID, "attempt": 1, "key": KEY, "codec": Codec.NONE, "now": 0.0} | changes
    return build_payload("2j", b'{"example": "value"}', 1, **facts)


def test_the_known_answer_of_the_wire():
    payload = pay()
    assert payload.body == b'[{"example": "value"}]'
    assert dict(payload.headers) == {
        "Content-Type": "application/json",
        "Date": "Thu, 01 Jan 1970 00:00:00 GMT",
        "User-Agent": f"eventpub-sidecar/{__version__}",
        "X-Signature": "key=web, mac=7c46d56b99cd4cb05e08238c1d4c10a2f330795e9d7327f17cc66fd206bf1179",
        "Idempotency-Key": BATCH_ID,
        "X-Attempt": "1",
        "X-Event-Count": "1",
    }


def test_version_2_is_a_thrift_list():
    payload = build_payload(
        "2", b'{"1":{"tf":1}},{"1":{"tf":0}}', 2, batch_id=BATCH_ID, attempt=1, key=KEY, codec=Codec.NONE
    )
    assert payload.body == b'{"1":{"lst":["rec",2,{"1":{"tf":1}},{"1":{"tf":0}}]}}'
    assert payload.headers["X-Event-Count"] == "2"


@pytest.mark.parametrize(
    ("codec", "undo"),
    [(Codec.GZIP, gzip.decompress), (Codec.ZSTD, zstandard.ZstdDecompressor().decompress)],
)
def test_a_compressed_body_says_so_and_carries_the_signature_of_the_uncompressed_one(codec, undo):
    payload = pay(codec=codec)
    assert payload.headers["Content-Encoding"] == codec.value
    assert undo(payload.body) == pay().body
    assert payload.headers["X-Signature"] == pay().headers["X-Signature"]


def test_a_later_attempt_differs_in_its_date_its_number_and_with_a_rotated_key_its_signature_only():
    first, second = pay(), pay(attempt=2, now=90.0, key=SigningKey("web2", b"hunter3"))
    changed = {name for name in first.headers if first.headers[name] != second.headers[name]}
    assert changed == {"Date", "X-Attempt", "X-Signature"}
    assert second.headers["Date"] == "Thu, 01 Jan 1970 00:01:30 GMT"
    assert second.body == first.body


def test_an_http_message_signature_covers_the_body_as_it_is_sent():
    payload = pay(key=SigningKey("web", b"hunter2", "rfc9421"), codec=Codec.GZIP)
    assert "X-Signature" not in payload.headers
    request = http_signature.Request("POST", "https://anywhere.example:8443/v2j", dict(payload.headers))
    assert (
        http_signature.verify_request(request, payload.body, lambda _: b"hunter2", clock_skew_seconds=0)
        == "web"
    )
    assert (
        http_signature.verify_request(request, pay().body, lambda _: b"hunter2", clock_skew_seconds=0) is None
    )


def test_both_signatures_are_each_what_they_are_alone():
    both = pay(key=SigningKey("web", b"hunter2", "both")).headers
    standard = pay(key=SigningKey("web", b"hunter2", "rfc9421")).headers
    assert both == {**pay().headers, **standard}
    assert both.keys() - pay().headers.keys() == {"Content-Digest", "Signature-Input", "Signature"}


@given(
    events=st.lists(st.dictionaries(st.text(), st.integers() | st.text()), min_size=1, max_size=20),
    secret=st.binary(min_size=1),
)
def test_any_events_arrive_as_they_are_under_a_mac_that_checks(events, secret):
    joined = ",".join(map(json.dumps, events)).encode()
    payload = build_payload(
        "2j",
        memoryview(joined),
        len(events),
        batch_id=BATCH_ID,
        attempt=1,
        key=SigningKey("k", secret),
        codec=Codec.NONE,
    )
    assert json.loads(payload.body) == events
    expected = hmac.new(secret, payload.body, hashlib.sha256).hexdigest()
    assert payload.headers["X-Signature"] == f"key=k, mac={expected}"
