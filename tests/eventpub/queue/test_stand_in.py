"""EVENTPUB_QUEUE and `stand_in`: what takes events in the kernel's place while an application is developed."""

from __future__ import annotations

import json
import logging
import os

import pytest
from support.forked import in_child

from eventpub import EventQueue, serialize_v2_event
from eventpub.errors import (
    EventQueueClosedError,
    EventSerializationError,
    EventTooLargeError,
    QueueMissingError,
    QueueNameError,
    QueueStandInError,
)
from eventpub.queue import stand_in
from eventpub.queue.message_queue import MessageQueue
from eventpub.schemas.event.ttypes import Event
from eventpub.testing import capture_events, take_messages

TEA = {"noun": "tea"}


def test_print_shows_structs_by_the_names_of_their_fields_and_json_as_it_is(
    queue_name: str, capsys: pytest.CaptureFixture[str]
):
    with EventQueue(queue_name, stand_in="print") as events:
        events.put(Event(source="shop", action="buy", noun="tea"))
        events.put({"noun": "\x1b[2Jte\u0301\u2028"})
        events.put({"noun": "coffee"}, timeout=1)
    assert capsys.readouterr().err.splitlines() == [
        f'eventpub {queue_name}: {{"source": "shop", "action": "buy", "noun": "tea"}}',
        f'eventpub {queue_name}: {{"noun":"\\u001b[2Jte\u0301\\u2028"}}',
        f'eventpub {queue_name}: {{"noun":"coffee"}}',
    ]
    assert events.counts.accepted == 3


@pytest.mark.parametrize("kind", ["print", "discard", "memory"])
def test_nothing_reaches_the_kernel_and_serializers_limits_and_errors_are_the_real_ones(
    kind: str, queue_name: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("EVENTPUB_QUEUE", kind)
    with EventQueue(queue_name, serialize_v2_event, max_messages=1, max_message_size=128) as events:
        for _ in range(3):  # it is never full
            events.put(Event(source="shop", action="buy", noun="tea"))
        with pytest.raises(EventSerializationError):
            events.put(TEA)
        with pytest.raises(EventTooLargeError):
            events.put(Event(source="shop" * 40, action="buy", noun="tea"))
        assert (kind in repr(events), tuple(events.counts)) == (True, (3, 0, 1, 1))
    with pytest.raises(EventQueueClosedError):
        events.put(Event(source="shop", action="buy", noun="tea"))
    with pytest.raises(QueueMissingError):
        MessageQueue.open(queue_name, create=False)


def test_memory_keeps_the_latest_for_who_takes_them(queue_name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stand_in, "_KEPT_MESSAGES", 2)
    with EventQueue(queue_name, stand_in="memory") as events:
        for number in range(3):
            events.put({"number": number})
        assert [json.loads(message)["number"] for message in take_messages(queue_name)] == [1, 2]
        assert take_messages(queue_name) == []


def test_it_is_said_once_for_each_queue(queue_name: str, caplog: pytest.LogCaptureFixture):
    with EventQueue(queue_name, stand_in="discard"), EventQueue(queue_name, stand_in="discard"):
        pass
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.message == (
        f"event queue {queue_name!r}: EVENTPUB_QUEUE=discard, so its events are discarded, and no sidecar gets "
        "them; for development only"
    )


@pytest.mark.parametrize(
    ("kind", "near"), [("prnt", "; did you mean print?"), ("Memory", "; did you mean memory?"), ("9", "")]
)
def test_an_unknown_value_is_refused_with_the_nearest(
    kind: str, near: str, queue_name: str, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(QueueStandInError) as caught:
        EventQueue(queue_name, stand_in=kind)
    assert caught.value.reason == f"stand_in is {kind!r}: expected print, discard or memory{near}"
    monkeypatch.setenv("EVENTPUB_QUEUE", kind)
    with pytest.raises(QueueStandInError, match=f"EVENTPUB_QUEUE is '{kind}'"):
        EventQueue(queue_name)
    monkeypatch.setenv("EVENTPUB_QUEUE", "")
    with EventQueue(queue_name, max_messages=2, max_message_size=128) as events:
        events.put(TEA)
    assert take_messages(queue_name) == [b'{"noun":"tea"}']


def test_a_name_is_checked_first():
    with pytest.raises(QueueNameError):
        EventQueue("a/b", stand_in="print")


def test_what_is_put_in_a_test_is_captured_all_the_same(queue_name: str, capsys: pytest.CaptureFixture[str]):
    with EventQueue(queue_name, stand_in="print") as events:
        with capture_events() as captured:
            events.put(TEA)
        assert (captured.events, capsys.readouterr().err) == ([TEA], "")
        events.put(TEA)
        assert "tea" in capsys.readouterr().err


def test_it_is_refused_while_another_process_has_the_queue_open(queue: MessageQueue):
    """As a sidecar has; a queue that was left behind is in nobody's way."""

    def refused() -> str:
        queue.close()
        try:
            EventQueue(queue.name, stand_in="discard")
        except QueueStandInError as error:
            return error.reason
        return ""

    reason = in_child(refused)
    assert reason.startswith("EVENTPUB_QUEUE=discard would keep events from it, and ")
    assert f"({os.getpid()}) has it open; unset EVENTPUB_QUEUE" in reason
    name = queue.name
    queue.close()
    with EventQueue(name, stand_in="discard") as events:
        events.put(TEA)


def test_a_process_that_opens_the_queue_later_is_reported_once(
    queue_name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(stand_in, "_LOOK_SECONDS", 0.0)
    with EventQueue(queue_name, stand_in="discard") as events:
        with MessageQueue.open(queue_name, max_messages=1, max_message_size=128):

            def told() -> list[str]:
                caplog.clear()
                for _ in range(3):
                    events._look_at = 0.0
                    events.put(TEA)
                return [record.message for record in caplog.records if record.levelno == logging.ERROR]

            (message,) = in_child(told)
        events.put(TEA)
    assert f"({os.getpid()}) has it open now, but EVENTPUB_QUEUE=discard keeps" in message
