"""Who has which queue open, and who holds what is counted to a user."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from support.forked import as_root, in_child, other_uid
from support.mounts import seeing
from support.paths import ROOT

from eventpub.queue import holders
from eventpub.queue.kernel_limits import UNLIMITED
from eventpub.queue.message_queue import MessageQueue

pytestmark = pytest.mark.alone  # a limit that counts for all queues of a user

ME = Path("/proc/self/comm").read_text().strip()


def test_queues_of_a_user_are_told_with_the_processes_that_have_them_open(queue: MessageQueue, queue_name: str):
    removed = f"{queue_name}-removed"
    with MessageQueue.open(removed, max_messages=1, max_message_size=128) as other:
        other.unlink()
        text = holders.describe_owned(os.getuid())
    assert f"{queue.name} is open in {ME} ({os.getpid()})" in text
    assert f"{removed}, which was removed, is still open in {ME} ({os.getpid()})" in text
    assert queue.name not in holders.describe_owned(os.getuid() + 1)


@as_root
def test_a_queue_counts_as_its_owners_even_if_others_have_it_open(queue_name: str):
    uid = other_uid()
    with MessageQueue.open(queue_name, max_messages=1, max_message_size=128) as queue:
        os.fchown(queue.fd, uid, -1)
        assert queue_name in holders.describe_owned(uid)
        assert queue_name not in holders.describe_owned(os.getuid())
        (holder,) = in_child(lambda: holders.find_holders(queue_name))
        assert (holder.uid, holder.owner) == (os.getuid(), uid)


def test_a_queue_that_no_process_has_open_is_told_where_the_kernel_shows_it(queue_name: str):
    MessageQueue.open(queue_name, max_messages=1, max_message_size=128).close()
    mount = "mkdir -p /dev/mqueue 2>&-; mount -t mqueue none /dev/mqueue"
    program = "import os; from eventpub.queue import holders; print(holders.describe_owned(os.getuid()))"
    done = subprocess.run(
        [*seeing(mount), sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert f"{queue_name} is open in no process" in done.stdout


def test_the_limit_of_a_process_is_read_as_it_has_it():
    def read(limit: int) -> int | None:
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (1000, limit))
        return holders.read_limit(os.getpid())

    assert in_child(lambda: read(5000)) == 5000
    if resource.getrlimit(resource.RLIMIT_MSGQUEUE)[1] == resource.RLIM_INFINITY:
        assert in_child(lambda: read(resource.RLIM_INFINITY)) == UNLIMITED
    assert holders.read_limit(2**30) is None


def test_names_are_those_of_this_namespace_that_are_there(queue: MessageQueue):
    assert queue.name in holders.find_names()
    queue.unlink()
    assert queue.name not in holders.find_names()
