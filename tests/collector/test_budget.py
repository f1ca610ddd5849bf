"""Bytes are lent up to a limit, in the order in which they were asked for."""

from __future__ import annotations

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpub.collector.budget import Budget


def test_a_loan_that_is_too_much_waits_until_enough_came_back():
    budget = Budget(10)
    first = budget.borrow(8, patience_seconds=0)
    assert first is not None
    second = gevent.spawn(budget.borrow, 5, patience_seconds=10)
    gevent.sleep(0)
    assert not second.ready()
    first.keep(5)
    assert second.get(timeout=5).size_bytes == 5


def test_who_waits_in_vain_leaves_the_line_to_those_behind():
    budget = Budget(10)
    first = budget.borrow(6, patience_seconds=0)
    assert first is not None
    large = gevent.spawn(budget.borrow, 9, patience_seconds=0.05)
    small = gevent.spawn(budget.borrow, 3, patience_seconds=10)
    gevent.sleep(0)
    assert not small.ready()  # behind the large one, which came first
    assert large.get(timeout=5) is None
    assert small.get(timeout=5).size_bytes == 3


def test_who_is_killed_while_waiting_leaves_the_line_too():
    budget = Budget(10)
    first = budget.borrow(10, patience_seconds=0)
    assert first is not None
    waiting = gevent.spawn(budget.borrow, 9, patience_seconds=10)
    gevent.sleep(0)
    waiting.kill()
    with first:
        pass
    assert budget.borrow(10, patience_seconds=0) is not None


def test_a_loan_ends_with_its_context_also_where_that_fails():
    budget = Budget(10)
    loan = budget.borrow(10, patience_seconds=0)
    assert loan is not None
    with pytest.raises(ZeroDivisionError), loan:
        raise ZeroDivisionError
    assert budget.borrow(10, patience_seconds=0) is not None


@given(st.lists(st.tuples(st.integers(0, 10), st.integers(0, 10)), max_size=30))
def test_never_more_than_the_limit_is_out(sizes):
    budget = Budget(10)
    loans = []
    for size, kept in sizes:
        loan = budget.borrow(size, patience_seconds=0)
        if loan is not None:
            loan.keep(kept)
            loans.append(loan)
        assert sum(loan.size_bytes for loan in loans) <= 10
        if loan is None:
            loans.pop(0).keep(0)
