"""The record as JSON: what is written is read, also by other versions; what is no record is told."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpub.sidecar.status.errors import StatusError
from eventpub.sidecar.status.record import (
    DeliveryPart,
    ProcessPart,
    QueuePart,
    RefusalPart,
    SpoolPart,
    StatusRecord,
    Trouble,
)
from eventpub.sidecar.status.summary import summarize_record

PROCESS = ProcessPart(
    pid=7,
    eventpub="0.1.0",
    loops="compiled",
    slot=0,
    directory="/spool/v2/0",
    config_path="v2.ini",
    started_at=100.0,
)


def make_record(**fields: object) -> StatusRecord:
    given_fields = {
        "taken_at": 1000.0,
        "state": "running",
        "process": PROCESS,
        "queue": QueuePart(name="v2"),
        **fields,
    }
    return StatusRecord(**given_fields)  # type: ignore[arg-type]


times = st.floats(0, 1e10)
moments = st.none() | times
counts = st.integers(0, 2**60)
records = st.builds(
    StatusRecord,
    process=st.builds(ProcessPart, pid=counts, slot=counts, started_at=times),
    queue=st.builds(QueuePart, depth_messages=st.none() | counts),
    troubles=st.lists(st.builds(Trouble, since=moments), max_size=3).map(tuple),
    spool=st.builds(SpoolPart, events=counts, oldest_at=moments),
    delivery=st.builds(
        DeliveryPart,
        last_refusal=st.none() | st.builds(RefusalPart, at=times, status=st.none() | counts),
        attempts=st.dictionaries(st.text(max_size=9), counts, max_size=3),
    ),
    taken_at=times,
    version=st.just(1),
)


@given(records)
def test_a_record_is_read_as_it_was_written(record: StatusRecord) -> None:
    assert StatusRecord.from_json(record.to_json()) == record


def test_fields_that_another_version_adds_or_lacks_do_no_harm() -> None:
    document = json.loads(make_record().to_json())
    document["moon"] = "full"
    document["queue"] = {"name": "v2", "colour": 3}
    del document["ledger"]
    del document["delivery"]
    assert StatusRecord.from_json(json.dumps(document).encode()) == make_record()


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b"\xff", b'{"version":1}', b'{"taken_at":"now"}'])
def test_what_is_no_record_is_told(document: bytes) -> None:
    with pytest.raises(StatusError, match="this is no status of a sidecar"):
        StatusRecord.from_json(document)


def test_another_form_is_told_with_what_to_do() -> None:
    document = json.loads(make_record().to_json()) | {"version": 2}
    with pytest.raises(StatusError, match="has version 2, and this command knows 1: use the command"):
        StatusRecord.from_json(json.dumps(document).encode())


def test_only_what_blocks_makes_it_unready_and_only_a_frozen_stage_dead() -> None:
    letters = Trouble(code="letters", words="full", is_blocking=False)
    assert make_record(troubles=(letters,)).is_ready
    paused = make_record(troubles=(letters,)).with_troubles(Trouble(code="paused", words="the spool is full"))
    assert (paused.is_ready, paused.is_alive) == (False, True)
    assert not paused.with_troubles(Trouble(code="frozen", words="it hangs")).is_alive


def test_one_line_says_what_matters() -> None:
    record = make_record(
        queue=QueuePart(name="v2", depth_messages=3, capacity_messages=10),
        delivery=DeliveryPart(last_success_at=998.0),
    )
    assert summarize_record(record) == "running, delivered 0, spooled 0, queue 3 of 10, last success 2 s ago"
    record = make_record(state="paused", troubles=(Trouble(code="paused", words="the spool is full"),))
    assert summarize_record(record) == "paused: the spool is full, delivered 0, spooled 0, queue no queue"
