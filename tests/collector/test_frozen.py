"""A collector that does nothing any more ends by itself, since no supervisor may watch it."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests
from support.collector_process import CollectorProcess
from support.nursery import Nursery
from support.waiting import wait_until

from eventpub import wire
from eventpub.cli.exit_codes import EXIT_FROZEN

SETTINGS = {"watchdog.timeout": "2 s", "store.timeout": "1 s"}


def test_a_collector_whose_hub_is_frozen_ends_with_71_and_says_where_and_the_next_one_goes_on(
    tmp_path: Path, nursery: Nursery
) -> None:
    headers = {wire.IDEMPOTENCY_HEADER: "b"}
    with CollectorProcess(tmp_path, faults=[{"freeze": 600}], settings=SETTINGS, nursery=nursery) as collector:
        assert collector.process is not None
        with pytest.raises(requests.RequestException):
            collector.post(b"[{}]", headers)
        wait_until(lambda: collector.process.poll() is not None, "its watchdog ends it")
        assert collector.process.poll() == EXIT_FROZEN
        (line,) = [line for line in collector.log().splitlines() if "CRITICAL" in line]
        assert "the stage loop is frozen: it has been in one call (" in line
        assert "faults.py:" in line.partition(" < ")[0]
        collector.start()
        collector.set_faults([])
        assert collector.post(b"[{}]", headers).json()["duplicate"] is False
        assert collector.stop() == 0
