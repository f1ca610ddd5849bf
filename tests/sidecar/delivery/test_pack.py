"""Packing, in C and in Python: one set of promises for both."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.native import built

from eventpub.sidecar.delivery.pack import Packer, PythonPacker, compiled_packer
from eventpub.sidecar.spool import records
from eventpub.sidecar.spool.framing import is_one_object

ID = "00112233445566778899aabbccddeeff"
HEADER = records.Header(ID, 5)


@pytest.fixture(params=["compiled", "python"])
def packer(request: pytest.FixtureRequest) -> Packer:
    return PythonPacker() if request.param == "python" else built(compiled_packer())


def test_packing_joins_whole_events(packer: Packer) -> None:
    image = records.write_records(HEADER, [b'{"a":1}', b'{"b":"\xc3\xa9"}'])
    joined, events = packer.pack(image) or (b"", 0)
    assert (bytes(joined), events) == (b'{"a":1},{"b":"\xc3\xa9"}', 2)


def test_packing_refuses_damage(packer: Packer) -> None:
    image = bytearray(records.write_records(HEADER, [b'{"a":1}']))
    image[-2] ^= 1
    assert packer.pack(bytes(image)) is None
    assert packer.pack(bytes(image[:-5])) is None


NO_EVENTS = [
    b"",
    b" ",
    b"7",
    b"[]",
    b"garbage",
    b'{"a":1},{"b":2}',
    b'{"a":1}}',
    b'{"a":"',
    b'"}',
    b'{"a":[1}',
    b'{"a":"}\\"',
    b'{"a":1}\n',
    b"\xff\xfe\x00",
]


@pytest.mark.parametrize("message", NO_EVENTS)
def test_message_that_could_reach_its_neighbours_is_refused(packer: Packer, message: bytes) -> None:
    assert not is_one_object(message)
    assert packer.pack(records.write_records(HEADER, [b"{}", message, b"{}"])) is None


@pytest.mark.parametrize(
    "text", [b'{"a":"}"}', b'{"a":"\\"}"}', b'{"a":"\\\\"}', b'{"a":"\x01"}', b'{"a":[{}]}']
)
def test_brackets_inside_strings_do_not_count(packer: Packer, text: bytes) -> None:
    assert is_one_object(text)
    joined, events = packer.pack(records.write_records(HEADER, [text])) or (b"", 0)
    assert (bytes(joined), events) == (text, 1)


LONG = [
    b'{"k":"' + b"}" * 70 + b'"}',
    b'{"a":"\\""}' + b"}" * 60,
    b'{"a":' + b"[" * 40 + b"]" * 40 + b'},"',
    b'""{}',
    b'{}"a"',
]


@settings(max_examples=1000)
@given(
    st.lists(
        st.sampled_from([b"{", b"}", b"[", b"]", b'"', b"\\", b",", b"a", b'{"a":"', b'"}', b"x" * 61]),
        max_size=30,
    ).map(b"".join)
)
@example(b'{"\\')
@example(LONG[0])
@example(LONG[1])
@example(LONG[2])
@example(LONG[3])
@example(LONG[4])
def test_both_packers_agree_on_what_one_object_is(text: bytes) -> None:
    image = records.write_records(HEADER, [text])
    packed = [packer.pack(image) for packer in (built(compiled_packer()), PythonPacker())]
    assert (packed[0] is None) == (packed[1] is None)
    assert (packed[1] is not None) == is_one_object(text)


@given(st.binary(max_size=700))
def test_compiled_checksum_is_zlibs(event: bytes) -> None:
    """A wrong checksum would make every record look damaged to the other packer, and to `read_records`."""
    event = b'{"' + event.translate(None, b'\\"') + b'":1}'
    packed = built(compiled_packer()).pack(records.write_records(HEADER, [event]))
    assert packed is not None
    assert bytes(packed[0]) == event
