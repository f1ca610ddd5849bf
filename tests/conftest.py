"""Fixtures for every test file."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from collections.abc import Iterator

import posix_ipc
import pytest
from hypothesis import settings
from sidecar_nursery import Nursery

from eventpub.wire import QUEUE_PREFIX

settings.register_profile("eventpub", deadline=None)  # a busy machine is no failure
settings.load_profile("eventpub")

_numbers = itertools.count()


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """What most sidecars are forked from."""
    with contextlib.closing(Nursery()) as opened:
        yield opened


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    """Threads take turns so often that what is not safe among them goes wrong soon."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def queue_name() -> Iterator[str]:
    """A queue name nobody else uses; the queue is removed afterwards."""
    name = f"t{os.getpid()}-{next(_numbers)}"
    yield name
    with contextlib.suppress(posix_ipc.ExistentialError):
        posix_ipc.unlink_message_queue(QUEUE_PREFIX + name)
