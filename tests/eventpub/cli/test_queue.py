"""`eventpub queue`: list, show, create, drop."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.commands import Done
from support.eventpub_command import run, script
from support.forked import as_root, other_uid

from eventpub.queue.kernel_limits import QueueSize, need_bytes
from eventpub.queue.message_queue import MessageQueue

pytestmark = pytest.mark.alone  # a limit that counts for all queues of a user


def test_a_queue_is_created_shown_and_dropped(queue_name: str):
    created = run(
        "queue", "create", queue_name, "--max-messages", "3", "--max-message-size", "1 KiB", "--mode", "620"
    )
    assert (created.code, created.err) == (0, "")
    assert created.out.startswith(f"{queue_name}: created, 3 messages of 1,024 bytes, ")
    assert created.out.endswith(", mode 0620\n")

    shown = run("queue", "show", queue_name)
    assert (shown.code, shown.err) == (0, "")
    assert "waiting:     0 of 3 events\n" in shown.out
    assert "event size:  up to 1,024 bytes\n" in shown.out

    assert run("queue", "drop", queue_name) == Done(0, f"{queue_name}: dropped, events in it: 0\n", "")
    assert run("queue", "show", queue_name).code == 69
    assert run("queue", "drop", queue_name).code == 69


def test_creating_what_is_there_says_how_it_differs(queue: MessageQueue):
    same = run("queue", "create", queue.name, "--max-messages", "5")
    assert (same.code, same.err) == (0, "")
    other = run("queue", "create", queue.name, "--max-messages", "6", "--mode", "620")
    assert other.code == 1
    assert other.out.startswith(f"{queue.name}: was there, 5 messages of 512 bytes")
    assert "it holds 5 messages, not 6, its mode is 0600, not 0620" in other.err


def test_a_size_the_kernel_refuses_is_answered_with_the_commands_that_allow_it(queue_name: str):
    done = run("queue", "create", queue_name, "--max-messages", "65536", "--max-message-size", "16 MiB")
    assert (done.code, done.out) == (69, "")
    assert f"LimitMSGQUEUE={need_bytes(QueueSize(65_536, 2**24))}" in done.err


def test_events_are_not_dropped_by_mistake(queue: MessageQueue):
    queue.send(b"{}")
    refused = run("queue", "drop", queue.name)
    assert (refused.code, refused.out) == (1, "")
    assert "holds events (1)" in refused.err
    queue.close()
    assert run("queue", "drop", queue.name, "--yes") == Done(0, f"{queue.name}: dropped, events in it: 1\n", "")


def test_who_goes_on_using_a_dropped_queue_is_told(queue: MessageQueue):
    dropped = run("queue", "drop", queue.name)
    assert dropped.code == 0
    assert dropped.out.startswith(f"{queue.name}: dropped, events in it: 0\nstill open in ")
    assert f"({os.getpid()}): eventpub switches" in dropped.out
    assert queue.is_orphaned()


def test_show_names_the_processes_that_have_it_open(queue: MessageQueue):
    assert f"({os.getpid()})" in run("queue", "show", queue.name).out


@pytest.mark.parametrize("words", ["doctor --queue-name {}", "queue show {}", "queue drop {}"])
def test_a_process_whose_name_the_kernel_cut_within_a_character_is_named(queue: MessageQueue, words: str):
    comm = Path("/proc/self/comm")
    before = comm.read_bytes()
    comm.write_bytes("xøøøøøøø!".encode()[:-2])
    try:
        assert comm.read_bytes() != before
        done = run(*words.format(queue.name).split())
    finally:
        comm.write_bytes(before.strip())
    assert f"xøøøøøø� ({os.getpid()})" in done.out


@as_root
def test_queues_are_listed_where_the_kernel_shows_them(queue: MessageQueue, tmp_path: Path):
    queue.send(b"{}")
    done = script(f"unshare -m sh -c 'mount -t mqueue none {tmp_path} && $eventpub queue list'")
    assert (done.returncode, done.stderr) == (0, "")
    header, *rows = done.stdout.splitlines()
    assert header.split("  ")[0] == "QUEUE"
    assert [row.split() for row in rows if row.startswith(queue.name)] == [
        [queue.name, "1", "5", "512", "root:root,", "mode", "0600"]
    ]


@as_root
def test_its_owner_drops_a_queue_that_he_may_not_open(queue_name: str):
    uid = other_uid()
    run("queue", "create", queue_name, "--max-messages", "1", "--mode", "0", uid=uid)
    refused = run("queue", "drop", queue_name, uid=uid)
    assert (refused.code, refused.out) == (69, "")
    assert "its owner can drop it, contents unchecked, with --yes" in refused.err
    assert run("queue", "drop", queue_name, "--yes", uid=other_uid()).code == 69
    assert run("queue", "drop", queue_name, "--yes", uid=uid) == Done(0, f"{queue_name}: dropped, unseen\n", "")


@as_root
def test_where_the_kernel_shows_no_queues_list_says_how_to_change_that():
    done = script("unshare -m sh -c 'umount -a -t mqueue; $eventpub queue list'")
    assert (done.returncode, done.stdout) == (1, "")
    assert "mount -t mqueue none /dev/mqueue" in done.stderr
