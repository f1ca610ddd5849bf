"""Handlers that put events on a queue."""

from __future__ import annotations

from typing import Any

import pytest

from eventpub import Event, EventQueue
from eventpub.handlers import EventManager


def test_events_go_on_a_queue_in_the_form_its_sidecar_takes(queue_name: str, manager: EventManager):
    taker = EventQueue[Any](queue_name, max_messages=10, max_message_size=1024)
    manager.add_handler("queue", queue_name, version="2j")
    assert manager.send_event({"name": "build"}) is True
    manager.add_handler("queue", queue_name)
    assert manager.send_event(Event("shop.order.placed", uid="u1", begin_time=1.0)) is True
    assert taker._queue.receive() == b'{"name":"build"}'
    assert taker._queue.receive() == (
        b'{"1":{"str":"shop"},"2":{"str":"placed"},"3":{"str":"order"},"4":{"i64":1000},"5":{"str":"u1"}}'
    )
    taker.close()


def test_a_full_queue_is_a_failure_like_any_other(
    queue_name: str, manager: EventManager, caplog: pytest.LogCaptureFixture
):
    EventQueue[Any](queue_name, max_messages=1, max_message_size=1024).close()
    manager.add_handler("queue", queue_name)
    assert [manager.send_event({"name": "build"}) for _ in range(2)] == [True, False]
    assert "is full" in caplog.text
