"""What goes over the wire, as literal bytes."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpub import wire

PARENT = "00112233445566778899aabbccddeeff"


def test_version_2_body_is_thrift_json_of_a_list_of_structs() -> None:
    events = [b'{"1":{"str":"shop"}}', b'{"1":{"str":"caf\xc3\xa9"}}']
    assert wire.container("2", events) == (
        b'{"1":{"lst":["rec",2,{"1":{"str":"shop"}},{"1":{"str":"caf\xc3\xa9"}}]}}'
    )


def test_version_2j_body_is_an_array() -> None:
    assert wire.container("2j", [b'{"example": "value"}']) == b'[{"example": "value"}]'


def test_signature_is_the_one_baseplate_makes() -> None:
    assert wire.signature("NameOfASecretKey", b"hunter2", b'[{"example": "value"}]') == (
        "key=NameOfASecretKey, mac=7c46d56b99cd4cb05e08238c1d4c10a2f330795e9d7327f17cc66fd206bf1179"
    )


def test_examples_in_the_module_are_true() -> None:
    assert doctest.testmod(wire).failed == 0


@pytest.mark.parametrize("version", wire.VERSIONS)
@given(sizes=st.lists(st.integers(2, 500), min_size=1, max_size=50))
def test_no_container_adds_more_than_the_overhead_that_batches_reckon_with(
    version: str, sizes: list[int]
) -> None:
    events = [b"x" * size for size in sizes]
    body = sum(len(event) + 1 for event in events) + wire.CONTAINER_OVERHEAD
    assert len(wire.container(version, events)) <= body


def test_container_of_ten_million_events_still_fits_its_overhead() -> None:
    assert len(wire.wrap("2", b"", 10**7)) <= wire.CONTAINER_OVERHEAD


def test_unwrap_returns_the_events() -> None:
    assert wire.unwrap("2", {"1": {"lst": ["rec", 2, {"a": 1}, {}]}}) == [{"a": 1}, {}]
    assert wire.unwrap("2j", [{"a": 1}]) == [{"a": 1}]


@pytest.mark.parametrize(
    ("version", "document"),
    [
        ("2j", {}),
        ("2", []),
        ("2", {"1": {"lst": ["rec"]}}),
        ("2", {"1": {"lst": ["rec", 2, {}]}}),
        ("2", {"1": {"lst": ["str", 1, "x"]}}),
        ("2", {"1": None}),
    ],
)
def test_what_is_no_container_is_refused(version: str, document: object) -> None:
    with pytest.raises(ValueError, match=r"the (body|container)"):
        wire.unwrap(version, document)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "key=a",
        "mac=" + "0" * 64,
        "key=a, mac=xyz",
        "key=a, mac=" + "0" * 63,
        "key=a, mac=" + "0" * 64 + ", key=b",
    ],
)
def test_malformed_signature_is_none(value: str) -> None:
    assert wire.parse_signature(value) is None


def test_signature_is_parsed_whatever_its_blanks_and_case() -> None:
    mac = "7C46d56b99cd4cb05e08238c1d4c10a2f330795e9d7327f17cc66fd206bf1179"
    assert wire.parse_signature(f" key=test,mac={mac} ") == ("test", mac.lower())


def test_batch_ids_never_repeat() -> None:
    assert len({wire.new_batch_id() for _ in range(1000)}) == 1000


def test_part_of_a_batch_has_the_same_id_in_every_process() -> None:
    """The literal is what a collector that saw the part before a crash remembers."""
    assert wire.part_batch_id(PARENT, range(3)) == wire.part_batch_id(PARENT, [0, 1, 2])
    assert wire.part_batch_id(PARENT, [0, 1, 2]) == "57a66659d045aba25b867c56e5d838e3"
    assert wire.part_batch_id(PARENT, [0, 1]) != wire.part_batch_id(PARENT, [0, 1, 2])
