"""A batch may be stored though its sender never heard so, and is then taken apart: nothing is stored twice."""

from __future__ import annotations

import random
from typing import Any

import pytest
from support.collector_process import CollectorProcess
from support.rigs import Run
from support.sidecar_process import SidecarProcess
from support.waiting import wait_until

from eventpub import wire
from eventpub.queue.message_queue import MessageQueue

EVENTS = 8
TOO_LARGE_PAGE = {
    "status": 413,
    "headers": {"Content-Type": "text/html"},
    "body": "<html><head><title>413 Request Entity Too Large</title></head></html>",
}


@pytest.fixture
def sidecar_keys() -> dict[str, str]:
    """Batches wait for `EVENTS` events."""
    return {"collector_version": "2j", "batch_max_age": "300 ms", "compression": "none"}


def put_one_batch(queue: MessageQueue) -> None:
    for n in range(EVENTS):
        assert queue.send(b'{"n":%d,"pad":"%s"}' % (n, random.Random(n).randbytes(300).hex().encode()))


def numbers(collector: CollectorProcess) -> list[int]:
    return sorted(row["event"]["n"] for row in collector.events())


def check_stored_once(sidecar: SidecarProcess, collector: CollectorProcess) -> None:
    wait_until(lambda: len(numbers(collector)) >= EVENTS, "all is stored")
    wait_until(lambda: not sidecar.batches(), "all is delivered")
    assert numbers(collector) == [*range(EVENTS)]
    assert sidecar.dead_letters() == []
    assert sidecar.stop() == 0
    assert sidecar.ledger()["unaccounted"] == 0


def test_answer_lost_and_then_refused_by_our_collector_with_lower_limits_stores_nothing_twice(
    run: Run, queue: MessageQueue, collector: CollectorProcess
) -> None:
    collector.set_faults([{"accept_then": "close", "times": "forever"}])
    sidecar = run()
    put_one_batch(queue)
    wait_until(collector.events, "it is stored")
    collector.stop()
    collector.configure(max_body_size="2 KiB", max_compressed_size="2 KiB")
    collector.start()
    check_stored_once(sidecar, collector)
    assert {request["status"] for request in collector.requests()} == {200}


@pytest.mark.parametrize("refusal", [{"status": 413}, TOO_LARGE_PAGE], ids=["413", "page"])
def test_answer_lost_and_then_refused_by_a_proxy_with_a_lower_limit_stores_nothing_twice(
    refusal: dict[str, Any], run: Run, queue: MessageQueue, collector: CollectorProcess
) -> None:
    collector.set_faults([{"accept_then": "close"}, refusal])
    sidecar = run()
    put_one_batch(queue)
    check_stored_once(sidecar, collector)


def test_answer_lost_at_each_level_of_a_split_stores_nothing_twice(
    run: Run, queue: MessageQueue, collector: CollectorProcess
) -> None:
    """The batch is refused, the half is stored and its answer lost, then the half is refused, and so on."""
    lost, refused = {"accept_then": "close"}, {"status": 413}
    collector.set_faults([refused, lost, refused, lost, refused])
    sidecar = run(publisher_concurrency="1")
    put_one_batch(queue)
    check_stored_once(sidecar, collector)


def test_sidecar_killed_between_the_lost_answer_and_the_split_stores_nothing_twice(
    run: Run, queue: MessageQueue, collector: CollectorProcess
) -> None:
    collector.set_faults([{"accept_then": "close", "times": "forever"}])
    sidecar = run()
    put_one_batch(queue)
    wait_until(collector.events, "it is stored")
    sidecar.kill()
    collector.set_faults([{"status": 413}])
    sidecar.start()
    check_stored_once(sidecar, collector)


def test_part_names_its_parents(run: Run, queue: MessageQueue, collector: CollectorProcess) -> None:
    collector.set_faults([{"status": 413}, {"status": 413}])
    sidecar = run(publisher_concurrency="1")
    put_one_batch(queue)
    check_stored_once(sidecar, collector)
    whole, half, *parts = collector.requests()
    assert "X-Parent-Batch" not in whole["headers"]
    assert half["headers"]["X-Parent-Batch"] == whole["batch_id"]
    named = sorted(part["headers"]["X-Parent-Batch"] for part in parts)
    assert named == sorted(
        [
            f"{half['batch_id']}, {whole['batch_id']}",
            f"{half['batch_id']}, {whole['batch_id']}",
            whole["batch_id"],
        ]
    )
    assert half["batch_id"] == wire.part_batch_id(whole["batch_id"], range(EVENTS // 2))
