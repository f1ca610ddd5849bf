"""Which batch is sent next."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.clocks import Clock

from eventpub.sidecar.delivery.outbox import Outbox, Slow
from eventpub.sidecar.spool.batch import Batch


def batch(number: int) -> Batch:
    return Batch(Path(f"{number:012d}.1.batch"), 1, 100)


@pytest.fixture
def outbox(clock: Clock) -> Outbox:
    return Outbox(clock)


def numbers(outbox: Outbox) -> list[int]:
    taken = []
    while (taken_batch := outbox.take()) is not None:
        taken.append(taken_batch.sequence)
    return taken


def test_oldest_and_newest_take_turns_so_that_fresh_events_do_not_wait_behind_a_backlog(
    outbox: Outbox,
) -> None:
    for number in range(1, 7):
        outbox.put(batch(number))
    assert numbers(outbox) == [1, 6, 2, 5, 3, 4]


def test_batch_set_aside_is_not_taken_before_its_time(outbox: Outbox, clock: Clock) -> None:
    outbox.set_aside(batch(1), 5.0)
    outbox.put(batch(2))
    assert numbers(outbox) == [2]
    assert outbox.seconds_to_next() == pytest.approx(5.0)
    clock.now += 5
    assert outbox.seconds_to_next() == 0
    assert numbers(outbox) == [1]


def test_empty_outbox_has_nothing_to_wait_for(outbox: Outbox) -> None:
    assert outbox.seconds_to_next() is None
    assert outbox.take() is None
    assert outbox.oldest() is None


def test_hurry_lets_all_go_in_the_order_they_would_have_had(outbox: Outbox) -> None:
    outbox.set_aside(batch(2), 20)
    outbox.set_aside(batch(1), 10)
    outbox.put(batch(3))
    outbox.hurry()
    assert numbers(outbox) == [1, 3, 2]


def test_oldest_is_the_one_made_first_whichever_is_to_be_tried_first(outbox: Outbox, clock: Clock) -> None:
    outbox.set_aside(batch(4), 1)
    outbox.set_aside(batch(2), 30)
    outbox.put(batch(1))
    outbox.put(batch(3))
    outbox.put(batch(5))
    taken = outbox.take()
    assert taken == batch(1)
    outbox.set_aside(taken, 60)
    clock.now += 1
    assert outbox.seconds_to_next() == 0
    assert outbox.take() == batch(5)
    seen = []
    while (oldest := outbox.oldest()) is not None:
        seen.append(oldest.sequence)
        outbox.discard(oldest)
    assert seen == [1, 2, 3, 4]


def test_what_is_set_aside_stays_so_when_the_oldest_is_taken(outbox: Outbox) -> None:
    for number in (1, 2, 3):
        outbox.set_aside(batch(number), 10 * number)
    oldest = outbox.oldest()
    assert oldest == batch(1)
    outbox.discard(oldest)
    assert outbox.seconds_to_next() == pytest.approx(20)


def test_length_counts_what_was_set_aside(outbox: Outbox) -> None:
    outbox.put(batch(1))
    outbox.set_aside(batch(2), 10)
    assert len(outbox) == 2


def slow(number: int) -> Batch:
    found = batch(number)
    found.timeouts = 1
    return found


def test_batch_that_timed_out_goes_where_a_slot_can_be_spared_and_else_behind_the_others(
    outbox: Outbox,
) -> None:
    for number in (1, 2):
        outbox.put(batch(number))
        outbox.set_aside(slow(number + 10), 0)
    taken = [outbox.take(rule) for rule in (Slow.NEVER, Slow.LAST, Slow.LAST, Slow.NEVER, Slow.NOW)]
    assert [found and found.sequence for found in taken] == [1, 2, 11, None, 12]


def test_batch_that_may_not_be_taken_is_not_waited_for(outbox: Outbox, clock: Clock) -> None:
    outbox.set_aside(slow(1), 5)
    assert outbox.seconds_to_next(Slow.NEVER) is None
    assert outbox.seconds_to_next(Slow.LAST) == pytest.approx(5)
    outbox.set_aside(batch(2), 9)
    assert outbox.seconds_to_next(Slow.NEVER) == pytest.approx(9)
    clock.now += 5
    assert outbox.seconds_to_next(Slow.NOW) == 0
    assert outbox.seconds_to_next(Slow.NEVER) == pytest.approx(4)


def test_refused_batches_are_called_back_once_others_are_accepted(outbox: Outbox) -> None:
    refused = batch(1)
    refused.is_refused = True
    outbox.set_aside(refused, 300)
    outbox.set_aside(batch(2), 300)
    outbox.hurry_refused()
    assert numbers(outbox) == [1]
