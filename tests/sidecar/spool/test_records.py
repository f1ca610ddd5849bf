"""The bytes of a batch file: invariants first, then one test for each kind of damage."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpub.queue.removal import END_MARK
from eventpub.sidecar.spool import records

ID = "00112233445566778899aabbccddeeff"
HEADER = records.Header(ID, 5)
EVENTS = [b'{"a":1}', b'{"b":"' + b"x" * 100 + b'"}', b'{"c":3}']

event_texts = st.binary(max_size=300)


def offset_of(index: int) -> int:
    return records.HEADER_BYTES + sum(map(records.padded_size, map(len, EVENTS[:index])))


def test_format_is_what_the_byte_table_says() -> None:
    header = records.Header(ID, 1_700_000_000_000_000, "2j", ("aa" * 16, "bb" * 16))
    image = records.write_records(header, [b'{"a":1}'])
    start = (
        b"EVENTPUB"
        + struct.pack("<HH4s", 2, 96, b"2j")
        + bytes.fromhex(ID)
        + struct.pack("<Q", 1_700_000_000_000_000)
        + bytes(20)
    )
    assert image == (
        start
        + struct.pack("<I", zlib.crc32(start + b"\xaa" * 16 + b"\xbb" * 16))
        + b"\xaa" * 16
        + b"\xbb" * 16
        + b"\xffREC"
        + bytes(4)
        + struct.pack("<I", 0x80000007)
        + bytes.fromhex("afac1b56")
        + b'{"a":1}\0'
    )


def test_file_of_format_1_is_read_and_has_neither_version_nor_parents() -> None:
    image = (
        b"EVENTPUB"
        + struct.pack("<HHI", 1, 64, 0)
        + bytes.fromhex(ID)
        + struct.pack("<Q", 1_700_000_000_000_000)
        + bytes(20)
        + bytes.fromhex("71506b74")
    )
    assert records.read_header(image) == records.Header(ID, 1_700_000_000_000_000, None, ())


headers = st.builds(
    records.Header,
    batch_id=st.binary(min_size=16, max_size=16).map(bytes.hex),
    created_us=st.integers(0, 2**63),
    version=st.sampled_from([None, "2", "2j"]),
    parents=st.lists(st.binary(min_size=16, max_size=16).map(bytes.hex), max_size=32).map(tuple),
)


@given(headers, st.lists(event_texts))
def test_what_is_written_is_read_back(header: records.Header, events: list[bytes]) -> None:
    image = records.write_records(header, events)
    assert records.read_records(image) == records.Contents(header, events, 0)
    assert records.read_header(image[: records.MAX_HEADER_BYTES]) == header


def test_part_names_its_parents_the_nearest_first_and_not_without_end() -> None:
    header = records.Header(ID, 5, "2")
    for n in range(40):
        header = header.head_part(f"{n:032x}")
    assert header.parents == tuple(f"{n:032x}" for n in range(38, 6, -1))
    assert records.read_header(records.write_header(header)) == header


def test_damage_to_a_parent_is_damage_to_the_header() -> None:
    image = bytearray(records.write_records(HEADER.head_part("aa" * 16), EVENTS))
    image[70] ^= 1
    contents = records.read_records(bytes(image))
    assert (contents.header, contents.events) == (None, EVENTS)


@given(st.binary(max_size=400))
def test_any_bytes_can_be_read(image: bytes) -> None:
    contents = records.read_records(image)
    assert contents.damaged or contents.batch_id


@given(st.lists(event_texts, min_size=1), st.data())
def test_one_flipped_bit_costs_at_most_one_event(events: list[bytes], data: st.DataObject) -> None:
    image = bytearray(records.write_records(HEADER, events))
    bit = data.draw(st.integers(0, len(image) * 8 - 1))
    image[bit // 8] ^= 1 << bit % 8
    found = records.read_records(bytes(image)).events
    missing = [event for event in events if event not in found]
    # a record never committed, as a length of zero makes it look, may also hide an empty neighbour
    assert len(missing) <= 1
    assert all(event in events for event in found)


@given(st.lists(event_texts, min_size=1), st.data())
def test_torn_tail_is_cut_and_earlier_events_survive(events: list[bytes], data: st.DataObject) -> None:
    image = records.write_records(HEADER, events)
    cut = data.draw(st.integers(records.HEADER_BYTES, len(image) - 1))
    found = records.read_records(image[:cut]).events
    whole = [event for index, event in enumerate(events) if _end(events, index) <= cut]
    assert found[: len(whole)] == whole
    assert len(found) <= len(whole) + 1  # an event whose padding alone is cut is whole


def _end(events: list[bytes], index: int) -> int:
    return records.HEADER_BYTES + sum(map(records.padded_size, map(len, events[: index + 1])))


def test_reserved_space_behind_the_last_record_is_no_damage() -> None:
    image = records.write_records(HEADER, EVENTS) + bytes(5000)
    assert records.read_records(image).events == EVENTS
    assert records.read_records(image).damaged == 0


def test_slot_armed_but_never_received_into_is_the_end() -> None:
    armed = records.RECORD_HEADER.pack(records.MAGIC, records.ARMED, 0, 0)
    contents = records.read_records(records.write_records(HEADER, EVENTS) + armed + bytes(500))
    assert (contents.events, contents.damaged) == (EVENTS, 0)


def test_event_received_but_not_committed_is_read() -> None:
    received = records.RECORD_HEADER.pack(records.MAGIC, 7, 0, 0) + b'{"d":4}' + bytes(501)
    contents = records.read_records(records.write_records(HEADER, EVENTS) + received)
    assert (contents.events, contents.damaged) == ([*EVENTS, b'{"d":4}'], 0)


def test_end_mark_of_a_removed_queue_received_but_not_forgotten_is_no_event() -> None:
    received = records.RECORD_HEADER.pack(records.MAGIC, 0, 0, 0) + END_MARK + bytes(507)
    contents = records.read_records(records.write_records(HEADER, EVENTS) + received)
    assert (contents.events, contents.damaged) == (EVENTS, 0)


def test_damaged_file_header_costs_the_id_only() -> None:
    image = b"garbage!" + records.write_records(HEADER, EVENTS)[8:]
    assert records.read_records(image) == records.Contents(None, EVENTS, 1)


def test_wrong_format_version_is_damage() -> None:
    image = bytearray(records.write_records(HEADER, EVENTS))
    image[8] = 3
    assert records.read_records(bytes(image)).batch_id is None


@pytest.mark.parametrize("field", [0, 8, 12, 16], ids=["magic", "length", "crc", "event"])
def test_damaged_field_costs_that_record_only(field: int) -> None:
    image = bytearray(records.write_records(HEADER, EVENTS))
    image[offset_of(1) + field] ^= 0x55
    contents = records.read_records(bytes(image))
    assert (contents.events, contents.damaged) == ([EVENTS[0], EVENTS[2]], 1)


def test_length_beyond_the_file_costs_that_record_only() -> None:
    image = bytearray(records.write_records(HEADER, EVENTS))
    struct.pack_into("<I", image, offset_of(0) + 8, 0xFFFFFFF0)
    assert records.read_records(bytes(image)).events == EVENTS[1:]


def test_zero_page_costs_the_records_it_covers() -> None:
    events = [b'{"n":%d,"pad":"%s"}' % (n, b"x" * 200) for n in range(100)]
    image = bytearray(records.write_records(HEADER, events))
    image[4096:8192] = bytes(4096)
    found = records.read_records(bytes(image)).events
    size = records.padded_size(len(events[0]))
    first, last = (4096 - 64) // size, (8192 - 64) // size
    assert events[: first - 1] == found[: first - 1]
    assert events[last + 1 :] == found[-len(events[last + 1 :]) :]


def test_length_that_became_zero_does_not_swallow_the_records_behind_it() -> None:
    image = bytearray(records.write_records(HEADER, EVENTS))
    struct.pack_into("<I", image, offset_of(1) + 8, 0)
    contents = records.read_records(bytes(image))
    assert (contents.events, contents.damaged) == ([EVENTS[0], EVENTS[2]], 1)


def test_foreign_file_is_all_damage() -> None:
    contents = records.read_records(b"\x7fELF" + bytes(range(256)) * 20)
    assert contents.events == []
    assert contents.damaged == 2
