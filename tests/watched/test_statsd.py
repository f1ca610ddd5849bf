"""What a sidecar tells the real statsd, and a unix socket. `make test-watched` runs these, `make test` not."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.collector_process import CollectorProcess
from support.rigs import numbered, put, wait_stored
from support.sidecar_process import SidecarProcess
from support.statsd import Statsd
from support.waiting import wait_until
from support.watchers import StatsdDaemon

from eventpub.queue.message_queue import MessageQueue

EVENTS = 25
COUNTED = {
    "shop.events.received": str(EVENTS),
    "shop.events.sent": str(EVENTS),
    "shop.events.error.http": "1",
    "shop.events.error.http.503": "1",
}
GAUGES = {"shop.events.spooled": "0", "shop.events.unaccounted": "0", "shop.events.queue.depth": "0"}


@pytest.fixture
def deliver(tmp_path: Path, queue: MessageQueue, queue_name: str):
    """Let a sidecar deliver, at its second attempt, and tell an endpoint of it."""

    def run(endpoint: str) -> None:
        with CollectorProcess(tmp_path, faults=[{"status": 503, "times": 1}]) as collector:
            sidecar = SidecarProcess(
                tmp_path, queue_name, collector.port, collector_version="2j",
                metrics_namespace="shop.events", metrics_endpoint=endpoint,
            )  # fmt: skip
            try:
                put(queue, numbered(EVENTS))
                wait_stored(collector, range(EVENTS))
                assert sidecar.stop() == 0  # it sends what it has counted when it stops, at the latest
            finally:
                sidecar.kill()

    return run


def test_the_daemon_counts_and_times_under_the_names_of_baseplate(tmp_path: Path, deliver) -> None:
    with StatsdDaemon(tmp_path) as daemon:
        deliver(daemon.endpoint)
        wait_until(lambda: COUNTED.items() <= daemon.read("counters").items(), "all is counted")
        wait_until(lambda: GAUGES.items() <= daemon.read("gauges").items(), "the gauges are at 0")
        times = daemon.read("timers")["shop.events.post"].strip("[ ]").split(",")
        assert len(times) >= 2  # one that failed, and at least one that did not
        assert all(float(milliseconds) > 0 for milliseconds in times)
        assert daemon.read("counters")["statsd.bad_lines_seen"] == "0"


def test_a_receiver_at_a_unix_socket_gets_the_same_lines(tmp_path: Path, deliver) -> None:
    listener = Statsd(str(tmp_path / "statsd.sock"))
    deliver(listener.endpoint)
    counted = {name: str(total) for name, total in listener.read().items()}
    listener.socket.close()
    assert COUNTED.items() <= counted.items()
    assert GAUGES.items() <= {name: str(values[-1]) for name, values in listener.gauges.items()}.items()
    assert [*listener.timers] == ["shop.events.post"]
    assert len(listener.timers["shop.events.post"]) >= 2
