"""The codecs of a batch's body: `sidecar/delivery/compression.py`."""

from __future__ import annotations

import gzip
import subprocess
import sys
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from eventpub.sidecar.delivery.compression import Codec, Negotiation, compress_body

EVENTS = b",".join(b'{"1":{"str":"shop"},"2":{"i64":%d}}' % number for number in range(5_000))


def undo(codec: Codec, data: bytes) -> bytes:
    if codec is Codec.ZSTD:
        return zstandard.ZstdDecompressor().decompress(data)
    return gzip.decompress(data) if codec is Codec.GZIP else data


def run_without(package: str, program: str) -> str:
    """Run a program in a Python where `package` cannot be imported."""
    lines = f"import sys; sys.modules[{package!r}] = None\n{program}"
    return subprocess.run(
        [sys.executable, "-c", lines], capture_output=True, text=True, check=True, timeout=30
    ).stdout


@given(body=st.binary(max_size=2_000), codec=st.sampled_from(Codec))
def test_every_codec_gives_back_every_body(body, codec):
    assert undo(codec, compress_body(codec, body)) == body


@pytest.mark.parametrize("codec", [Codec.GZIP, Codec.ZSTD])
def test_a_batch_shrinks_to_less_than_a_third(codec):
    assert len(compress_body(codec, EVENTS)) < len(EVENTS) / 3


def test_gzip_is_one_complete_stream_with_nothing_behind_it():
    stream = zlib.decompressobj(wbits=31)
    assert stream.decompress(compress_body(Codec.GZIP, EVENTS)) == EVENTS
    assert stream.eof
    assert stream.unused_data == b""


def test_zstd_says_in_its_header_how_large_the_body_is():
    """So that a collector can refuse a bomb before it unpacks it."""
    assert zstandard.get_frame_parameters(compress_body(Codec.ZSTD, EVENTS)).content_size == len(EVENTS)


@pytest.mark.parametrize("codec", Codec)
def test_the_same_body_is_the_same_stream_on_every_attempt(codec):
    assert compress_body(codec, EVENTS) == compress_body(codec, EVENTS)


# --- which codec

SILENT: frozenset[str] = frozenset()


@pytest.mark.parametrize(
    ("setting", "offered", "codec"),
    [
        ("auto", SILENT, Codec.GZIP),
        ("auto", {"gzip", "zstd"}, Codec.ZSTD),
        ("auto", {"br", "gzip"}, Codec.GZIP),
        ("auto", {"identity"}, Codec.NONE),
        ("gzip", {"gzip", "zstd"}, Codec.GZIP),
        ("gzip", {"zstd"}, Codec.NONE),
        ("none", {"gzip", "zstd"}, Codec.NONE),
        ("zstd", SILENT, Codec.ZSTD),
        ("zstd", {"gzip"}, Codec.GZIP),
    ],
)
def test_codec_is_the_best_of_what_is_configured_and_offered(setting, offered, codec):
    negotiation = Negotiation(setting)
    negotiation.offered(frozenset(offered))
    assert negotiation.codec() is codec


def refuse_all(negotiation: Negotiation, offered: frozenset[str]) -> list[Codec]:
    """Answer each attempt with 415 until there is nothing else to try, and return what was tried."""
    tried = []
    while True:
        tried.append(negotiation.codec())
        negotiation.offered(offered)
        if not negotiation.refused(tried[-1]):
            return tried


def test_refused_codec_gives_way_to_the_next_even_if_the_collector_does_not_say_what_it_takes():
    assert refuse_all(Negotiation("zstd"), SILENT) == [Codec.ZSTD, Codec.GZIP, Codec.NONE]


def test_refused_codec_is_not_tried_again_though_the_collector_goes_on_offering_it():
    negotiation = Negotiation("auto")
    negotiation.offered(frozenset({"gzip", "zstd"}))
    assert refuse_all(negotiation, frozenset({"gzip", "zstd"})) == [Codec.ZSTD, Codec.GZIP, Codec.NONE]


def test_codec_that_is_offered_again_is_used_again():
    negotiation = Negotiation("auto")
    negotiation.offered(frozenset({"gzip", "zstd"}))
    assert negotiation.codec() is Codec.ZSTD
    negotiation.offered(frozenset({"gzip"}))
    assert negotiation.refused(Codec.ZSTD)
    assert negotiation.codec() is Codec.GZIP
    negotiation.offered(frozenset({"gzip", "zstd"}))
    assert negotiation.codec() is Codec.ZSTD


def test_refused_plain_body_means_that_no_codec_was_the_reason():
    negotiation = Negotiation("gzip")
    assert refuse_all(negotiation, SILENT) == [Codec.GZIP, Codec.NONE]
    assert negotiation.codec() is Codec.GZIP


def test_auto_stays_with_gzip_where_zstd_is_not_installed():
    program = """
from eventpub.sidecar.delivery.compression import Negotiation
negotiation = Negotiation("auto")
negotiation.offered(frozenset({"gzip", "zstd"}))
print(negotiation.codec())
"""
    assert run_without("zstandard", program) == "Codec.GZIP\n"


def test_gzip_works_where_isal_is_not_installed():
    program = """
from eventpub.sidecar.delivery.compression import Codec, compress_body
print(compress_body(Codec.GZIP, b"tea " * 1000).hex())
"""
    compressed = bytes.fromhex(run_without("isal", program))
    assert gzip.decompress(compressed) == b"tea " * 1000
    assert len(compressed) < 100
