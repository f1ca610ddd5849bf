"""HTTP Message Signatures of the wire's requests: `eventpub/wire/http_signature.py`."""

from __future__ import annotations

import base64
import hmac
import subprocess
import sys
import time
from datetime import datetime, timezone

import pytest
from http_message_signatures import HTTPMessageSigner, MappingKeyResolver
from http_message_signatures.algorithms import HMAC_SHA256
from hypothesis import given
from hypothesis import strategies as st
from support.paths import ROOT

from eventpub.wire import http_signature
from eventpub.wire.http_signature import Request, sign_request, verify_request

BATCH_ID = "0123456789abcdef0123456789abcdef"
BODY = b'[{"example": "value"}]'
SECRET = b"hunter2"
NOW = 1_618_884_473  # that of the RFC's examples
DATE = "Tue, 20 Apr 2021 02:07:53 GMT"

# RFC 9421, B.2.5, with the key of B.1.5
RFC_SECRET = base64.b64decode(
    b"uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=="
)
RFC_BASE = (
    b'"date": Tue, 20 Apr 2021 02:07:55 GMT\n'
    b'"@authority": example.com\n'
    b'"content-type": application/json\n'
    b'"@signature-params": ("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"'
)
RFC_SIGNATURE = b"pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8="


def signed(secret: bytes = SECRET, key_name: str = "web") -> Request:
    request = Request("POST", "http://collector/v2j", {"Date": DATE, "Idempotency-Key": BATCH_ID})
    sign_request(request, BODY, key_name=key_name, secret=secret, now=NOW)
    return request


def signer(request: Request, sent: bytes = BODY, secret: bytes = SECRET, skew: float = 600) -> str | None:
    return verify_request(request, sent, lambda _name: secret, clock_skew_seconds=skew)


def resigned(components: str, parameters: str, secret: bytes = SECRET, **changes: str) -> Request:
    """Sign with other components or parameters than ours, as a sender of another make would."""
    request = signed()
    request.headers.update(changes)
    given = {name.lower(): value for name, value in request.headers.items()}
    given |= {"@method": "POST", "@path": "/v2j", "@authority": "collector"}
    values = [f"{name}: {given[name.strip(chr(34))]}" for name in components.split()]
    base = "\n".join([*values, f'"@signature-params": ({components}){parameters}'])
    mac = base64.b64encode(hmac.digest(secret, base.encode(), "sha256")).decode()
    request.headers.update(
        {"Signature-Input": f"other=({components}){parameters}", "Signature": f"other=:{mac}:"}
    )
    return request


ALL = " ".join(f'"{name}"' for name in http_signature.COMPONENTS)


# --- known answers ---------------------------------------------------------------------------------------


def test_the_hmac_vector_of_the_rfc():
    """B.2.5 covers neither digest nor id, so it is the package that is held to it, not `verify`."""
    assert base64.b64encode(hmac.digest(RFC_SECRET, RFC_BASE, "sha256")) == RFC_SIGNATURE
    headers = {"Date": "Tue, 20 Apr 2021 02:07:55 GMT", "Content-Type": "application/json"}
    request = Request("POST", "https://example.com/foo?param=Value&Pet=dog", headers)
    keys = MappingKeyResolver(public_keys={}, private_keys={"test-shared-secret": RFC_SECRET})
    prepared = HTTPMessageSigner(signature_algorithm=HMAC_SHA256, key_resolver=keys).prepare(
        request,
        key_id="test-shared-secret",
        created=datetime.fromtimestamp(NOW, timezone.utc),
        include_alg=False,
        covered_component_ids=("date", "@authority", "content-type"),
    )
    assert prepared.signature_base == RFC_BASE
    assert signer(request) is None


def test_a_request_is_signed_by_these_bytes():
    assert signed().headers == {
        "Date": DATE,
        "Idempotency-Key": BATCH_ID,
        "Content-Digest": "sha-256=:j20U+V5UenbsfBE8U0LQxN6wEvrlPZHjp4t0Bvdv0kI=:",
        "Signature-Input": 'eventpub=("@method" "@path" "content-digest" "date" "idempotency-key")'
        ';created=1618884473;keyid="web";alg="hmac-sha256"',
        "Signature": "eventpub=:2aUl8nJkLxGIpN7VYvoZesHrqQXntfuFPSfVaMhN4LA=:",  # openssl's
    }


# --- what is accepted ------------------------------------------------------------------------------------


@given(secret=st.binary(min_size=1), name=st.from_regex(r"[!-+\--~]{1,20}", fullmatch=True), sent=st.binary())
def test_what_was_signed_verifies_under_its_keys_name(secret, name, sent):
    request = Request("POST", "http://collector/v2", {"Date": DATE, "Idempotency-Key": BATCH_ID})
    sign_request(request, sent, key_name=name, secret=secret, now=NOW)
    assert signer(request, sent, secret) == name


def test_header_names_are_taken_in_any_case():
    request = signed()
    assert signer(Request("POST", request.url, {name.upper(): text for name, text in request.headers.items()}))


@pytest.mark.parametrize(
    ("components", "parameters"),
    [
        (ALL, ';keyid="web"'),
        (f'{ALL} "@authority"', ';created=1618884473;keyid="web";nonce="x";tag="shop"'),
        (" ".join(reversed(ALL.split())), ';keyid="web";alg="hmac-sha256"'),
    ],
)
def test_senders_of_another_make_may_cover_more_and_say_less(components, parameters):
    assert signer(resigned(components, parameters)) == "web"


# --- what is not -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Date", "Idempotency-Key", "Content-Digest", "Signature", "Signature-Input"])
def test_no_header_that_counts_can_be_changed_or_left_out(name):
    request = signed()
    value = request.headers[name]
    for other in (value[:-2] + "#" + value[-1], value[:-4] + value[-1], value + " x", ""):
        request.headers[name] = other
        assert signer(request) is None, other
    del request.headers[name]
    assert signer(request) is None


def test_no_other_body_method_or_path_will_do():
    request = signed()
    assert signer(request) == "web"
    assert signer(request, BODY + b" ") is None
    assert signer(Request("PUT", request.url, request.headers)) is None
    assert signer(Request("POST", "http://collector/v2", request.headers)) is None
    assert signer(request, secret=b"hunter3") is None


@pytest.mark.parametrize("left_out", http_signature.COMPONENTS)
def test_a_signature_that_leaves_something_out_is_none(left_out):
    components = " ".join(part for part in ALL.split() if part.strip('"') != left_out)
    assert signer(resigned(components, ';keyid="web"')) is None


@pytest.mark.parametrize(
    "parameters",
    [
        ';keyid="web";alg="none"',
        ';keyid="web";alg="hmac-sha1"',
        ';keyid="web";alg="rsa-v1_5-sha256"',
        ';keyid="web";alg="HMAC-SHA256"',
        ';keyid="web";alg=hmac-sha256',
        ';keyid="web";alg',
        ';keyid="web";other="x"',
        ";keyid=web",
        ";keyid=1",
        ";created=1618884473",
        "",
    ],
)
def test_another_algorithm_or_no_key_is_refused_though_the_mac_fits(parameters):
    assert signer(resigned(ALL, parameters)) is None


def test_two_signatures_are_none_even_if_both_fit():
    first, second = signed(), resigned(ALL, ';keyid="web"')
    for name in http_signature.SIGNATURE_HEADERS:
        first.headers[name] += ", " + second.headers[name]
    assert signer(first) is None


def test_times_ahead_and_behind_are_taken_as_far_as_clocks_may_differ():
    ahead = int(time.time()) + 100
    for parameters in (f';created={ahead};keyid="web"', f';expires={ahead - 200};keyid="web"'):
        request = resigned(ALL, parameters)
        assert signer(request, skew=200) == "web"
        assert signer(request, skew=50) is None


@given(
    st.dictionaries(st.sampled_from(["Signature", "Signature-Input", "Content-Digest"]), st.text(max_size=60)),
    st.text(max_size=20),
)
def test_no_text_in_its_headers_raises_or_is_taken(changes, host):
    request = Request("POST", f"http://{host}/v2j", {**signed().headers, **changes})
    assert signer(request) in ((None, "web") if request.headers == signed().headers else (None,))


def test_hostile_headers_are_refused_in_linear_time():
    """16 KiB is what a head may have; the slowest took 8 ms."""
    hostile = [
        "a=(" + '"date" ' * 2300 + ")",
        "a=(" + " ".join(f'"x{number}"' for number in range(1800)) + ")",
        "a=1" + ";a" * 8000,
        ",".join(f'a{number}=("date")' for number in range(1100)),
        'a=("' + '\\"' * 8000,
        "a=:" + "A" * 16000 + ":",
        "(" * 16000,
    ]
    started = time.process_time()
    for text in hostile:
        for name in http_signature.SIGNATURE_HEADERS:
            assert signer(Request("POST", "http://c/v2j", {**signed().headers, name: text})) is None
    assert time.process_time() - started < 2


def test_nobody_pays_for_it_who_does_not_use_it():
    program = (
        "import sys, eventpub.wire.http_signature;"
        "import eventpub.sidecar.delivery.sender, eventpub.collector.application;"
        "print(sorted({'http_message_signatures', 'http_sf', 'cryptography'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"
