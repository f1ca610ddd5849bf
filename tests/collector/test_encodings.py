"""Encoded bodies become plain ones within a limit, or are refused."""

from __future__ import annotations

import gzip
import subprocess
import sys
import time
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from support.paths import ROOT

from eventpub.collector.encodings import ACCEPTED, Damage, decode_body, find_encoding

PLAIN = b'[{"example": "value"}]'
ENCODERS = {"gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress, "identity": bytes}
LIMIT_BYTES = 1000

# what the programs gzip -n and zstd -c make of it
GZIP_VECTOR = bytes.fromhex(
    "1f8b08000000000000038bae564aad48cc2dc84955b252502a4bcc294d55aa8d0500da68727d16000000"
)
ZSTD_VECTOR = bytes.fromhex("28b52ffd0458b100005b7b226578616d706c65223a202276616c7565227d5d04a5ee69")


def zstd_without_size(plain: bytes) -> bytes:
    """A frame whose header does not tell how large it unpacks, as streaming senders write it."""
    packer = zstandard.ZstdCompressor().compressobj()
    return packer.compress(plain) + packer.flush()


def test_known_bytes_are_decoded():
    assert decode_body("gzip", GZIP_VECTOR, LIMIT_BYTES) == PLAIN
    assert decode_body("zstd", ZSTD_VECTOR, LIMIT_BYTES) == PLAIN


def test_zstd_is_accepted_where_it_is_installed():
    assert ACCEPTED == ("gzip", "zstd")
    uninstalled = "import sys; sys.modules['zstandard'] = None"
    program = f"{uninstalled}; from eventpub.collector.encodings import ACCEPTED; print(ACCEPTED)"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout == "('gzip',)\n"


@pytest.mark.parametrize("encoding", ENCODERS)
@given(plain=st.binary(max_size=300))
def test_what_was_encoded_comes_back(encoding, plain):
    assert decode_body(encoding, ENCODERS[encoding](plain), 300) == plain


@pytest.mark.parametrize("encoding", ENCODERS)
def test_the_limit_is_exact(encoding):
    body = ENCODERS[encoding](b"x" * LIMIT_BYTES)
    assert decode_body(encoding, body, LIMIT_BYTES) == b"x" * LIMIT_BYTES
    assert decode_body(encoding, body, LIMIT_BYTES - 1) is Damage.TOO_LARGE


def test_a_zstd_frame_without_its_size_keeps_the_limit():
    body = zstd_without_size(b"x" * LIMIT_BYTES)
    assert decode_body("zstd", body, LIMIT_BYTES) == b"x" * LIMIT_BYTES
    assert decode_body("zstd", body, LIMIT_BYTES - 1) is Damage.TOO_LARGE


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_several_members_are_one_body_and_share_the_limit(encoding):
    body = ENCODERS[encoding](b"a" * 600) + ENCODERS[encoding](b"b" * 400)
    assert decode_body(encoding, body, LIMIT_BYTES) == b"a" * 600 + b"b" * 400
    assert decode_body(encoding, body, LIMIT_BYTES - 1) is Damage.TOO_LARGE


def skippable() -> bytes:
    return bytes.fromhex("502a4d1800000000")


def of_a_large_window(plain: bytes) -> bytes:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=23)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return packer.compress(plain) + packer.flush()


PARTS = {
    "empty members": ("gzip", gzip.compress(b"")),
    "members of a byte": ("gzip", gzip.compress(b"x")),
    "empty frames": ("zstd", zstandard.compress(b"")),
    "skippable frames": ("zstd", skippable()),
    "frames of a byte with windows of 8 MiB": ("zstd", of_a_large_window(b"x")),
}


@pytest.mark.parametrize("parts", PARTS)
def test_a_few_hundred_parts_are_taken_and_more_are_not(parts):
    encoding, part = PARTS[parts]
    assert isinstance(decode_body(encoding, part * 256, LIMIT_BYTES), bytes)
    assert decode_body(encoding, part * 257, LIMIT_BYTES) is Damage.BROKEN


@pytest.mark.parametrize("parts", PARTS)
def test_the_time_that_parts_take_grows_no_faster_than_their_bytes(parts):
    encoding, part = PARTS[parts]

    def seconds(size_bytes: int) -> float:
        body = part * (size_bytes // len(part))
        started = time.process_time()
        decode_body(encoding, body, 8 * 2**20)
        return time.process_time() - started

    small, large = (min(seconds(size_bytes) for _ in range(3)) for size_bytes in (2**17, 2**21))
    assert large < 2 * 16 * max(small, 0.001)


@pytest.mark.parametrize(
    ("header", "encoding"),
    [
        ("", "identity"),
        ("identity", "identity"),
        ("gzip", "gzip"),
        ("X-GZIP", "gzip"),
        (" zstd,", "zstd"),
        ("gzip, gzip", None),
        ("deflate", None),
        ("gz\x1bip", None),
    ],
)
def test_encodings_have_more_than_one_name(header, encoding):
    assert find_encoding(header) == encoding


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_every_truncation_is_noticed(encoding):
    body = ENCODERS[encoding](PLAIN * 20)
    for length in range(len(body)):
        assert decode_body(encoding, body[:length], LIMIT_BYTES) is Damage.BROKEN, length


def test_truncated_zstd_without_size_is_noticed():
    body = zstd_without_size(PLAIN * 20)
    for length in range(len(body)):
        assert decode_body("zstd", body[:length], LIMIT_BYTES) is Damage.BROKEN, length


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize("garbage", [b"\0", b"garbage", b"\x1f\x8b", b"\x28\xb5\x2f\xfd"])
def test_bytes_after_the_end_are_noticed(encoding, garbage):
    assert decode_body(encoding, ENCODERS[encoding](PLAIN) + garbage, LIMIT_BYTES) is Damage.BROKEN


def test_a_damaged_checksum_is_noticed():
    body = bytearray(gzip.compress(PLAIN))
    body[-8] ^= 1
    assert decode_body("gzip", bytes(body), LIMIT_BYTES) is Damage.BROKEN


def test_other_formats_are_not_taken_for_gzip():
    assert decode_body("gzip", zlib.compress(PLAIN), LIMIT_BYTES) is Damage.BROKEN
    assert decode_body("gzip", PLAIN, LIMIT_BYTES) is Damage.BROKEN


def test_a_zstd_window_beyond_8_mib_is_refused():
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=24)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    body = packer.compress(b"x" * 100) + packer.flush()
    assert decode_body("zstd", body, LIMIT_BYTES) is Damage.BROKEN


@given(st.binary(max_size=200))
def test_no_bytes_at_all_raise(body):
    for encoding in ENCODERS:
        assert isinstance(decode_body(encoding, body, 100), (bytes, Damage))
