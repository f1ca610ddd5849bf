"""Fixtures of the tests of the `eventpub` command."""

from __future__ import annotations

import pytest

from eventpub.queue.message_queue import MessageQueue


@pytest.fixture
def queue(queue_name: str):
    with MessageQueue.open(queue_name, max_messages=5, max_message_size=512) as opened:
        yield opened
