"""A batch is sent under the version of the wire that it was received under, whatever the file says since."""

from __future__ import annotations

import signal
import struct
import zlib

import pytest
from support.collector_process import CollectorProcess
from support.line import Line
from support.rigs import Run
from support.sidecar_process import SidecarProcess
from support.waiting import wait_until

from eventpub.queue.message_queue import MessageQueue
from eventpub.sidecar.spool import records

THRIFT = b'{"1":{"str":"shop"},"2":{"str":"buy"},"3":{"str":"tea"}}'
PLAIN = b'{"source":"shop","action":"buy","noun":"cup"}'


@pytest.fixture
def target_port(line: Line) -> int:
    line.break_("refused")
    return line.port


@pytest.fixture
def sidecar_keys() -> dict[str, str]:
    return {}


def put_and_seal(queue: MessageQueue, event: bytes, sidecar: SidecarProcess) -> None:
    """Put an event, and wait until it is in a sealed batch."""
    before = len(sidecar.batches())
    assert queue.send(event)
    wait_until(lambda: len(sidecar.batches()) > before, "it is sealed")


def stored(collector: CollectorProcess) -> list[tuple[str, str]]:
    """Return the version and the noun of each stored event."""
    return sorted((row["version"], row["noun"]) for row in collector.events())


@pytest.mark.parametrize(("old", "new"), [("2", "2j"), ("2j", "2")])
def test_batches_that_wait_while_the_version_changes_are_stored_as_what_they_are(  # noqa: PLR0917, fixtures
    old: str, new: str, run: Run, queue: MessageQueue, line: Line, collector: CollectorProcess
) -> None:
    events = {"2": THRIFT, "2j": PLAIN}
    sidecar = run(collector_version=old)
    put_and_seal(queue, events[old], sidecar)
    sidecar.configure(collector_version=new)
    sidecar.signal(signal.SIGHUP)
    wait_until(lambda: "reloaded" in sidecar.log(), "the file is read again")
    put_and_seal(queue, events[new], sidecar)
    line.mend()
    wait_until(lambda: not sidecar.batches(), "all is delivered")
    assert stored(collector) == [("2", "tea"), ("2j", "cup")]
    assert sidecar.dead_letters() == []
    assert sidecar.stop() == 0
    assert sidecar.ledger()["unaccounted"] == 0


def test_version_outlives_the_process_that_received(
    run: Run, queue: MessageQueue, line: Line, collector: CollectorProcess
) -> None:
    sidecar = run(collector_version="2")
    put_and_seal(queue, THRIFT, sidecar)
    sidecar.kill()
    sidecar.configure(collector_version="2j")
    line.mend()
    sidecar.start()
    wait_until(lambda: not sidecar.batches(), "all is delivered")
    assert stored(collector) == [("2", "tea")]


def test_parts_of_a_batch_keep_its_version(
    run: Run, queue: MessageQueue, line: Line, collector: CollectorProcess
) -> None:
    sidecar = run(collector_version="2", batch_max_age="300 ms")
    for event in (THRIFT, b"garbage", THRIFT):
        assert queue.send(event)
    wait_until(sidecar.batches, "it is sealed")
    sidecar.configure(collector_version="2j")
    sidecar.signal(signal.SIGHUP)
    line.mend()
    wait_until(lambda: len(stored(collector)) == 2, "the parts are delivered")
    assert stored(collector) == [("2", "tea"), ("2", "tea")]
    assert len(sidecar.dead_letters()) == 1


def test_file_of_format_1_is_sent_under_the_configured_version(
    run: Run, line: Line, collector: CollectorProcess
) -> None:
    sidecar = run(collector_version="2j")
    sidecar.stop()
    image = records.write_records(records.new_header(), [PLAIN])
    old = image[:8] + struct.pack("<H", 1) + image[10:60]
    slot = next(sidecar.spool.glob("*/0"))
    (slot / "000000000009.1.batch").write_bytes(
        old + struct.pack("<I", zlib.crc32(old)) + image[records.HEADER_BYTES :]
    )
    line.mend()
    sidecar.start()
    wait_until(lambda: not sidecar.batches(), "it is delivered")
    assert stored(collector) == [("2j", "cup")]
