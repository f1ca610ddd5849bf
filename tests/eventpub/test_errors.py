"""Errors of `put`, raised by a test of an application as it raises baseplate's: with fewer arguments."""

from __future__ import annotations

import pickle
from unittest import mock

import pytest

from eventpub import EventError, EventQueueFullError, EventTooLargeError


@pytest.mark.parametrize("effect", [EventQueueFullError, EventQueueFullError(), EventTooLargeError(102_401)])
def test_a_mock_may_raise_them(effect: object):
    put = mock.Mock(side_effect=effect)
    with pytest.raises(EventError) as raised:
        put({})
    assert str(raised.value)
    assert "''" not in str(raised.value)
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)


def test_what_a_test_leaves_out_has_the_type_that_it_always_has():
    assert EventQueueFullError().queue_name == ""
    assert (EventTooLargeError(102_401).size_bytes, EventTooLargeError(102_401).limit_bytes) == (
        102_401,
        102_400,
    )
