"""The own time of the first event of a batch, whatever stands there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpub import serialize_v2_event
from eventpub.schemas.event.ttypes import Event
from eventpub.sidecar.delivery.event_time import read_event_time

MS = 1_700_000_000_123


def test_the_time_is_read_from_both_versions() -> None:
    thrift = serialize_v2_event(Event(source="s", action="a", noun="n", client_timestamp=MS, uuid="u"))
    assert read_event_time("2", thrift) == MS / 1000
    assert read_event_time("2", b"%s,%s" % (thrift, b'{"4":{"i64":1}}')) == MS / 1000
    assert read_event_time("2j", b'{"n":[{"client_timestamp":5}],"client_timestamp":%d},{}' % MS) == MS / 1000
    assert read_event_time("2j", memoryview(b'{"client_timestamp":%d.5}' % MS)) == 0  # no whole milliseconds


@pytest.mark.parametrize(
    "event",
    [
        b'{"client_timestamp":null}', b'{"client_timestamp":"1700000000123"}',
        b'{"client_timestamp":1700000000}', b'{"client_timestamp":{"i64":1}}',
        b'{"4":{"rec":{}}}', b'{"4":[]}', b"{}", b"[]", b"", b"garbage", b"7",
        b'{"a":' + b"[" * 100_000, b"{" + b" " * 200_000 + b"}",
    ],
)  # fmt: skip
def test_an_event_without_a_time_has_none(event: bytes) -> None:
    assert read_event_time("2", event) == read_event_time("2j", event) == 0


@given(st.binary(max_size=80))
def test_nothing_raises(event: bytes) -> None:
    assert read_event_time("2", event) == 0
    assert read_event_time("2j", event) == 0
