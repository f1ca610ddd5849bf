"""What lies in a removed queue comes into its successor: `eventpub/queue/removal.py`."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from eventpub.queue.message_queue import MessageQueue, remove_queue
from eventpub.queue.removal import END_MARK, RemovedQueue

EVENTS = 5


@pytest.fixture
def old(queue_name: str) -> Iterator[MessageQueue]:
    with MessageQueue.open(queue_name, max_messages=EVENTS, max_message_size=128) as queue:
        remove_queue(queue_name)
        yield queue


@pytest.fixture
def successor(old: MessageQueue) -> Iterator[MessageQueue]:
    with MessageQueue.open(old.name, max_messages=EVENTS, max_message_size=128) as queue:
        yield queue


class DeadlyQueue(MessageQueue):
    """A queue whose third message never comes: its process is killed, with the message in its hand."""

    sent = 0

    def send(self, message: bytes) -> bool:
        self.sent += 1
        if self.sent == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().send(message)


def take_all(queue: MessageQueue) -> list[bytes]:
    return list(iter(queue.receive, None))


@pytest.mark.parametrize(
    "left",
    [
        [END_MARK, b"event"],
        [END_MARK, END_MARK, b"event", END_MARK, b"another"],
        [b"event", END_MARK],
        [END_MARK],
        [END_MARK] * 4,
    ],
    ids=str,
)
def test_events_behind_the_marks_of_a_process_that_was_killed_are_moved(
    old: MessageQueue, successor: MessageQueue, left: list[bytes]
):
    for message in left:
        old.send(message)
    removed = RemovedQueue(old)
    for _ in range(4):
        if removed.move_messages(successor):
            break
    else:
        pytest.fail("it does not come to an end")
    assert take_all(successor) == [message for message in left if message != END_MARK]
    assert take_all(old) == [END_MARK] * EVENTS


def test_a_queue_that_another_process_has_filled_up_is_finished_at_once(
    old: MessageQueue, successor: MessageQueue
):
    for _ in range(EVENTS):
        old.send(END_MARK)
    assert RemovedQueue(old).move_messages(successor)
    assert not old.send(b"late")


def test_a_process_without_a_spool_that_is_killed_while_it_moves_events_loses_at_most_the_one_in_its_hand(
    old: MessageQueue, successor: MessageQueue
):
    events = [b"event %d" % number for number in range(EVENTS)]
    assert all(map(old.send, events))
    pid = os.fork()
    if pid == 0:
        with DeadlyQueue.open(old.name) as deadly:
            RemovedQueue(old).move_messages(deadly)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    RemovedQueue(old).move_messages(successor)  # by whoever else may read it
    assert take_all(successor) == events[:2] + events[3:]
