"""What is lost is told once, in reports of a bounded size, whatever becomes of a report."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clocks import Clock

from eventpub import wire
from eventpub.sidecar.telemetry.losses import Losses
from eventpub.sidecar.telemetry.reasons import DeadReason, DropReason

NAMES = [f"dead.{reason.value}" for reason in DeadReason] + [f"dropped.{reason.value}" for reason in DropReason]


@pytest.fixture
def clock() -> Clock:
    return Clock(1_700_000_000.0)


@pytest.fixture
def losses(clock: Clock) -> Losses:
    return Losses(clock)


def told(report: bytes) -> dict[str, float]:
    measurements: dict[str, float] = json.loads(report)["measurements"]
    return measurements


def test_report_tells_what_was_lost_since_the_last_one_that_was_delivered(losses: Losses, clock: Clock) -> None:
    assert not losses
    for name, events in (("dead.rejected", 2), ("dropped.damaged", 3), ("dead.rejected", 1)):
        losses.add(name, events)
        clock.now += 1
    assert told(losses.write_report("2j", "main")) == {
        "dead.rejected": 3, "dropped.damaged": 3,
        "first_loss_timestamp": 1_700_000_000_000, "last_loss_timestamp": 1_700_000_002_000,
    }  # fmt: skip
    assert (losses.untold, losses.is_on_its_way) == (0, True)
    losses.add("dead.rejected", 5)
    losses.settle()
    assert (len(losses), losses.untold, losses.is_on_its_way) == (5, 5, False)
    assert told(losses.write_report("2j", "main"))["dead.rejected"] == 5


def test_report_that_is_lost_is_told_again_with_what_came_since(losses: Losses) -> None:
    losses.add("dead.rejected", 2)
    losses.write_report("2j", "main")
    losses.add("dead.rejected", 3)
    losses.withdraw()
    assert losses.untold == 5
    assert told(losses.write_report("2j", "main"))["dead.rejected"] == 5


def test_last_report_tells_only_what_the_one_on_its_way_does_not(losses: Losses) -> None:
    losses.add("dead.rejected", 2)
    losses.write_report("2j", "main")
    losses.add("dead.rejected", 3)
    assert told(losses.write_report("2j", "main"))["dead.rejected"] == 3
    assert losses.untold == 0


@pytest.mark.parametrize("version", wire.VERSIONS)
def test_report_of_every_reason_fits_in_the_smallest_queue(version: str, losses: Losses) -> None:
    for name in NAMES:
        losses.add(name, 2**53)
    assert len(losses.write_report(version, "q" * 200)) < 4096


@given(st.lists(st.sampled_from(["add", "report", "settle", "withdraw"]), max_size=30))
def test_whatever_becomes_of_reports_each_loss_is_delivered_once(steps: list[str]) -> None:
    losses, delivered, added = Losses(), Counter[str](), 0
    on_its_way: Counter[str] | None = None
    for step in [*steps, "withdraw", "report", "settle"]:
        if step == "add":
            losses.add(NAMES[added % len(NAMES)], 1)
            added += 1
        elif step == "report" and not losses.is_on_its_way and losses.untold:
            report = told(losses.write_report("2j", "main"))
            on_its_way = Counter({name: int(n) for name, n in report.items() if "timestamp" not in name})
        elif step == "settle":
            delivered.update(on_its_way or {})
            on_its_way = None
            losses.settle()
        elif step == "withdraw":
            on_its_way = None
            losses.withdraw()
    assert delivered.total() == added
    assert not losses
