"""`eventpub doctor`, and what it learns from the host."""

from __future__ import annotations

import errno
import os
import re
import resource
from pathlib import Path

import pytest
from support.commands import Done
from support.entry_points import install
from support.eventpub_command import eventpub, may_raise_limits, run, script
from support.forked import as_root, in_own_namespace, other_uid, refuse_mq_open

from eventpub.cli import findings, host, queue_checks
from eventpub.queue.kernel_limits import UNLIMITED, KernelLimits
from eventpub.queue.message_queue import MessageQueue

pytestmark = pytest.mark.alone  # a limit that counts for all queues of a user


def test_doctor_has_nothing_against_limits_that_allow_all_that_is_wanted():
    (finding,) = queue_checks.check_limits(KernelLimits(10_000, 102_400, 256, UNLIMITED, UNLIMITED))
    assert finding.level is findings.Level.OK
    assert finding.text.endswith("RLIMIT_MSGQUEUE unlimited")


@pytest.mark.skipif(not may_raise_limits(), reason="takes CAP_SYS_RESOURCE, which containers seldom have")
def test_doctor_has_nothing_against_a_tuned_kernel_and_a_private_queue(queue_name: str):
    def look() -> Done:
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (resource.RLIM_INFINITY,) * 2)
        MessageQueue.open(queue_name)
        return eventpub("doctor", "--queue-name", queue_name)

    done = in_own_namespace(look, msg_max=10_000, msgsize_max=102_400)
    assert (done.code, done.err) == (0, "")
    assert "it would hold 10,000 messages of 102,400 bytes" in done.out
    assert "0 of 10,000 events wait in it" in done.out


@as_root
def test_doctor_warns_of_a_fresh_kernel_and_prints_the_commands():
    done = in_own_namespace(lambda: eventpub("doctor"), uid=other_uid())
    assert (done.code, done.err) == (1, "")
    assert "it would hold 10 messages of 8,192 bytes" in done.out
    assert "sysctl -w fs.mqueue.msg_max=10000 fs.mqueue.msgsize_max=102400" in done.out


def test_doctor_tells_of_a_queue_that_is_not_there(queue_name: str):
    done = run("doctor", "--queue-name", queue_name)
    assert done.code == 1
    assert f"warning  {queue_name}: does not exist" in done.out


def test_doctor_warns_of_a_stand_in_for_the_kernel(queue: MessageQueue, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EVENTPUB_QUEUE", "print")
    done = run("doctor", "--queue-name", queue.name)
    assert done.code == 1
    assert "warning  EVENTPUB_QUEUE=print is set: " in done.out


def test_doctor_tells_of_a_queue_that_fills(queue: MessageQueue):
    for _ in range(4):
        queue.send(b"{}")
    done = run("doctor", "--queue-name", queue.name)
    assert done.code == 1
    assert f"warning  {queue.name}: 4 of 5 events wait in it\n         start its sidecar" in done.out
    assert re.search(rf"ok       {queue.name}: open in .*\({os.getpid()}\)", done.out)


def test_doctor_tells_of_a_queue_that_others_may_read(queue_name: str):
    with MessageQueue.open(queue_name, max_messages=1, max_message_size=128, mode=0o644):
        done = run("doctor", "--queue-name", queue_name)
    assert done.code == 1
    assert "mode 0644 (any user can take events)" in done.out


def test_doctor_tells_who_still_has_a_queue_that_was_removed(queue: MessageQueue):
    queue.unlink()
    done = run("doctor", "--queue-name", queue.name)
    assert done.code == 1
    assert re.search(rf"warning  {queue.name}: .*\({os.getpid()}\) still has a removed queue", done.out)


@as_root
def test_doctor_tells_of_a_process_that_uses_another_namespace(queue: MessageQueue):
    done = in_own_namespace(lambda: eventpub("doctor", "--queue-name", queue.name))
    assert done.code == 1
    assert re.search(
        rf"warning  {queue.name}: .*\({os.getpid()}\) has a queue .* another IPC namespace", done.out
    )


@as_root
def test_doctor_fails_for_a_user_who_may_not_send(queue: MessageQueue):
    done = run("doctor", "--queue-name", queue.name, uid=other_uid())
    assert done.code == 2
    assert f"failing  {queue.name}: this user may not send to it" in done.out
    assert "`queue.mode`" in done.out


@as_root
def test_doctor_has_nothing_against_queues_of_others_unless_it_is_asked_about_one(queue: MessageQueue):
    def see_it() -> None:
        host.mqueue_folder = lambda: Path("/")
        host.queue_names = lambda _: [queue.name]

    done = run("doctor", uid=other_uid(), before=see_it)
    assert "failing" not in done.out
    assert done.code in {0, 1}
    assert (
        f"ok       {queue.name}: this user may not send to it; if it should, run doctor with --queue"
        in done.out
    )


def test_doctor_fails_without_kernel_support():
    done = run("doctor", before=lambda: refuse_mq_open(errno.ENOSYS))
    assert done.code == 2
    assert "failing  this process cannot use queues" in done.out
    assert "CONFIG_POSIX_MQUEUE" in done.out


def test_doctor_tells_when_no_further_queue_can_be_made(queue: MessageQueue):
    def use_up() -> None:
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (0, 0))

    done = run("doctor", "--queue-name", queue.name, before=use_up)
    assert done.code == 1
    assert "this user cannot create another queue; existing ones still work" in done.out
    assert "this user may send to it" in done.out


@pytest.mark.parametrize(
    ("logind_conf", "removes"),
    [
        ("[Login]\n#RemoveIPC=no\n", True),
        ("[Login]\nRemoveIPC=no\n", False),
        ("[Login]\nRemoveIPC=no\n[Login]\nRemoveIPC = yes\n", True),
        ("", True),
    ],
)
def test_whether_a_logout_removes_queues_is_read_from_logind_conf(logind_conf: str, removes: bool):  # noqa: FBT001, pytest hands it over
    assert host.removes_ipc(logind_conf) is removes


def test_where_systemd_does_not_run_no_logout_removes_queues(tmp_path: Path):
    (tmp_path / "seats").mkdir()
    assert not host.logout_removes_queues(1000, tmp_path)


# --- whose limits ----------------------------------------------------------------------------------------


@as_root
def test_doctor_judges_a_queue_by_the_limits_of_the_process_that_created_it(queue_name: str):
    """As in a login shell, which has less than the sidecar's unit gives the sidecar."""

    def look() -> Done:
        uid = other_uid()
        (ready, tell), (stay, leave) = os.pipe(), os.pipe()
        creator = os.fork()  # and not a new Python, which another user may not be able to read
        if creator == 0:
            os.close(leave)
            resource.setrlimit(resource.RLIMIT_MSGQUEUE, (400_000, 400_000))
            os.setgid(uid)
            os.setuid(uid)
            with MessageQueue.open(queue_name):
                os.write(tell, b"opened")
                os.read(stay, 1)  # until the other end is closed
            os._exit(0)
        os.read(ready, 6)
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (1000, 1000))
        try:
            return run("doctor", "--queue-name", queue_name)
        finally:
            os.close(leave)
            os.waitpid(creator, 0)

    done = in_own_namespace(look, msg_max=100)
    assert "ok       this user cannot create another queue" in done.out
    said = rf"warning  {queue_name}: 12 messages of 8,192 bytes; the limits of .* allow no more"
    assert re.search(said, done.out)
    assert "RLIMIT_MSGQUEUE is 400,000" in done.out


def test_doctor_names_the_command_that_makes_a_queue_as_large_as_it_could_be(queue: MessageQueue):
    done = run("doctor", "--queue-name", queue.name)
    said = rf"warning  {queue.name}: 5 messages of 512 bytes; the limits of .* would allow 10 messages"
    assert re.search(said, done.out)
    command = re.search(r"as root: eventpub (queue resize .*)", done.out)[1]
    resized = run(*command.split())
    assert (resized.code, resized.err) == (0, "")
    assert f"{queue.name}: resized from 5 messages of 512 bytes to 10 messages of 8,192 bytes" in resized.out


def test_doctor_says_each_remedy_once(queue: MessageQueue):
    def lower() -> None:
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (0, 0))

    queue.unlink()
    done = run("doctor", "--queue-name", queue.name, before=lower)
    assert "cannot create another queue" in done.out
    assert done.out.count("docker run:") == 1


def test_doctor_says_whether_the_loops_are_compiled():
    assert re.search(r"^eventpub .*, loops=(compiled|python \(.*\))$", run("doctor").out, re.MULTILINE)


def test_a_fact_that_cannot_be_found_out_keeps_nothing_from_running(tmp_path: Path):
    code = "def fact(): raise RuntimeError('boom')"
    install(tmp_path, "broken", code, {"eventpub.facts": {"broken": "broken:fact"}})
    done = script(f"PYTHONPATH={tmp_path} $eventpub --version")
    assert "broken=unknown (boom)" in done.stdout
