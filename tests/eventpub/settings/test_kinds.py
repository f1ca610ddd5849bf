"""Text -> the value of a setting: `eventpub/settings/kinds.py`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpub.settings import address, ini


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (ini.size(0, 10**12), "500 KiB", 512_000),
        (ini.size(0, 10**12), "1.5 MiB", 1_572_864),
        (ini.size(0, 10**12), "512000", 512_000),
        (ini.size(0, 10**12), "2GB", 2_000_000_000),
        (ini.seconds(0, 10**6), "500 ms", 0.5),
        (ini.seconds(0, 10**6), "2 min", 120),
        (ini.seconds(0, 10**6), "1.5", 1.5),
        (ini.file_mode(), "0620", 0o620),
        (ini.boolean(), "Yes", True),
        (address.endpoint(), "localhost:8125", ("localhost", 8125)),
        (address.endpoint(), "[::1]:8125", ("::1", 8125)),
        (address.endpoint(), "/run/statsd.sock", "/run/statsd.sock"),
        (ini.base64_bytes(), "aHVudGVyMg==", b"hunter2"),
        (ini.choice("a", "b"), "b", "b"),
        (ini.choice("https", "http"), "HTTPS", "https"),
        (ini.choice("AES256", "none"), "aes256", "AES256"),
    ],
)
def test_kind_reads(kind: ini.Kind[object], text: str, value: object) -> None:
    assert kind.parse(text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (ini.size(0, 10), "11"),
        (ini.size(0, 10), "1 parsec"),
        (ini.size(0, 10), "-1"),
        (ini.seconds(0, 10), "nan"),
        (ini.seconds(0, 10), "1e3"),
        (ini.file_mode(), "0999"),
        (ini.file_mode(), "٦٠٠"),
        (ini.file_mode(), "6_00"),
        (ini.integer(0, 99), "٣"),
        (ini.integer(0, 99), "1_0"),
        (ini.path(is_absolute=True), "spool"),
        (ini.path(is_absolute=True), "./spool"),
        (ini.file_mode(), "7777"),
        (ini.boolean(), "maybe"),
        (address.endpoint(), "localhost"),
        (address.endpoint(), "localhost:99999"),
        (address.server(), "a,b"),
        (address.server(), "host;"),
        (address.server(), "[:::::]"),
        (address.server(), '"host"'),
        (ini.base64_bytes(), ""),
        (ini.base64_bytes(), "a"),
        (ini.path(), "~no-such-user-anywhere/x"),
        (ini.choice("a", "b"), "ab"),
    ],
)
def test_kind_refuses(kind: ini.Kind[object], text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011, its message is not shown
        kind.parse(text)


KINDS = [
    ini.text(), ini.choice("a"), ini.integer(0, 9), ini.size(0, 9), ini.seconds(0, 9), ini.boolean(),
    ini.base64_bytes(), ini.file_mode(), ini.path(), address.endpoint(),
]  # fmt: skip


@given(st.sampled_from(KINDS), st.text())
def test_no_text_makes_a_kind_raise_anything_but_value_error(kind: ini.Kind[object], text: str) -> None:
    try:
        kind.parse(text)
    except ValueError:
        assert kind.allowed


def test_a_range_of_seconds_is_written_in_digits() -> None:
    assert ini.seconds(0.05, 315_360_000).allowed.endswith("from 0.05 to 315,360,000 seconds")
