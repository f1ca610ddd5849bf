"""The `eventpub` command, run in a child as a user runs it; what it prints and what it returns."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import logging
import os
import pty
import re
import resource
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from support.forked import as_root, in_child, in_own_namespace, other_uid, refuse_mq_open
from support.paths import ROOT
from support.waiting import DEADLINE_SECONDS, wait_until

from eventpub.cli import doctor, host, main
from eventpub.cli.command import build_parser
from eventpub.queue.kernel_limits import UNLIMITED, KernelLimits
from eventpub.queue.message_queue import MessageQueue
from eventpub.schemas.event.ttypes import Event, Experiment, User
from eventpub.serialization.thrift_json_decode import decode_struct


class Done(NamedTuple):
    code: int
    out: str
    err: str


def eventpub(*arguments: str, stdin: str = "") -> Done:
    """Run the command in this process."""
    logging.getLogger().handlers.clear()  # pytest's, which this process inherited
    out, err = io.StringIO(), io.StringIO()
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin.encode()))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(arguments)
        except SystemExit as stop:
            code = stop.code
    return Done(code, out.getvalue(), err.getvalue())


def may_raise_limits() -> bool:
    """Whether this process has CAP_SYS_RESOURCE, and so may raise a hard limit."""
    status = Path("/proc/self/status").read_text()
    return bool(int(re.search(r"CapEff:\s*(\w+)", status)[1], 16) & 1 << 24)


def run(*arguments: str, stdin: str = "", uid: int | None = None, before: Callable[[], object] = int) -> Done:
    """Run the command in a child, after it did `before`."""

    def child() -> Done:
        before()
        return eventpub(*arguments, stdin=stdin)

    return in_child(child, uid=uid)


def script(text: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script in which `$eventpub` is the command."""
    environment = os.environ | {"eventpub": f"{sys.executable} -m eventpub"}
    return subprocess.run(
        ["sh", "-c", text], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture
def queue(queue_name: str):
    with MessageQueue.open(queue_name, max_messages=5, max_message_size=512) as opened:
        yield opened


# --- the command line ------------------------------------------------------------------------------------

PROGRAMS = ("sidecar", "collector")  # test_programs.py has them
LEVELS = [
    (),
    ("doctor",),
    ("put",),
    ("queue",),
    ("queue", "list"),
    ("queue", "show"),
    ("queue", "create"),
    ("queue", "drop"),
]


@pytest.mark.parametrize("level", LEVELS, ids=" ".join)
def test_every_help_ends_with_examples_the_command_takes(level: tuple[str, ...]):
    done = run(*level, "--help")
    assert (done.code, done.err) == (0, "")
    _, _, epilog = done.out.partition("\nexample")
    examples = re.findall(r"^  (?:zcat .* \| )?eventpub (.+?)(?:  |<|$)", epilog, re.MULTILINE)
    assert examples
    for example in examples:
        words = shlex.split(example)
        if words[0] in PROGRAMS:
            continue
        assert build_parser(words).parse_args(words).run


@pytest.mark.parametrize(
    "arguments", [(), ("nonsense",), ("queue",), ("queue", "create", "x", "--mode", "999")]
)
def test_a_wrong_command_line_has_an_exit_code_of_its_own(arguments: tuple[str, ...]):
    done = run(*arguments)
    assert (done.code, done.out) == (64, "")
    assert done.err.startswith("usage: eventpub")


@pytest.mark.parametrize(
    "words", ["put {} --timeout 0.5 {{}}", "put --timeout=0.5 {} {{}}", "queue create {} --mode 0620"]
)
def test_options_may_stand_among_the_arguments(queue: MessageQueue, words: str):
    queue.unlink()
    queue_again = MessageQueue.open(queue.name, max_messages=2, max_message_size=512, mode=0o620)
    with queue_again:
        assert run(*words.format(queue.name).split()).code == 0


def test_an_event_may_begin_with_a_dash_behind_two_dashes(queue: MessageQueue):
    done = run("put", queue.name, "--timeout", "0", "--", "-1")
    assert "event 1, -1: it is no object" in done.err


def test_an_option_that_a_command_does_not_have_is_answered_with_the_usage_of_that_command():
    done = run("put", "x", "--evnt", "{}")
    assert (done.code, done.out) == (64, "")
    assert done.err.startswith("usage: eventpub put [-h] [--event] [--timeout SECONDS] NAME [JSON ...]\n")
    assert done.err.endswith("eventpub put: unrecognized arguments: --evnt {}\n")


def test_an_argument_is_held_to_what_a_configuration_file_may_say():
    done = run("queue", "create", "x", "--max-message-size", "1 GiB")
    assert "argument --max-message-size: '1 GiB' is not bytes, or a number with KiB, MiB or GiB" in done.err


@pytest.mark.parametrize("words", ["queue create a/b", "queue show .a", "put a/b {}", "doctor --queue a/b"])
def test_a_name_that_no_queue_can_have_is_a_wrong_command_line(words: str):
    done = run(*words.split())
    assert (done.code, done.out) == (64, "")
    assert "use 1 to 200 letters, digits, dots, dashes and underscores" in done.err


def test_python_m_eventpub_is_the_command():
    done = script("$eventpub --version; $eventpub nonsense")
    assert re.fullmatch(r"eventpub \d+\.\d+\.\d+\n", done.stdout)
    assert done.returncode == 64


def test_output_that_nobody_reads_is_no_error(queue: MessageQueue):
    done = script(f"($eventpub queue show {queue.name}; echo $? >&2) | true")
    assert done.stderr == "0\n"


# --- eventpub put ----------------------------------------------------------------------------------------


def test_put_takes_events_from_arguments_or_lines(queue: MessageQueue):
    assert run("put", queue.name, '{"n": 1}', '{"n": 2}') == Done(0, "put 2, not put 0\n", "")
    assert run("put", queue.name, stdin='{"n": 3}\n\n{"n": 4}') == Done(0, "put 2, not put 0\n", "")
    assert [json.loads(queue.receive()) for _ in range(4)] == [{"n": n} for n in (1, 2, 3, 4)]


def test_put_says_which_events_it_could_not_put_and_goes_on(queue: MessageQueue):
    done = run("put", queue.name, stdin='{"n": 1}\n[2]\nnonsense\n{"n": "' + "4" * 512 + '"}\n{"n": 5}\n')
    assert (done.code, done.out) == (1, "put 2, not put 3\n")
    assert "event 2, [2]: it is no object" in done.err
    assert "event 3, nonsense: Expecting value" in done.err
    assert re.search(r"event 4, .*: the event has 520 bytes; this queue was created for 512", done.err)
    assert queue.depth() == 2


def test_put_counts_an_event_that_is_nested_too_deeply_and_goes_on(queue: MessageQueue):
    done = run("put", queue.name, stdin='{"n":' * 100_000 + "1" + "}" * 100_000 + '\n{"n": 2}\n')
    assert (done.code, done.out) == (1, "put 1, not put 1\n")
    assert done.err.startswith('eventpub: event 1, {"n":')
    assert done.err.endswith(": it is nested too deeply\n")


@pytest.mark.parametrize("event", ["", "  "])
def test_an_empty_argument_is_no_event(queue: MessageQueue, event: str):
    done = run("put", queue.name, event, "{}")
    assert done == Done(1, "put 1, not put 1\n", "eventpub: event 1: it is empty\n")


def test_put_waits_as_long_as_told_for_one_event_only_and_says_where_to_go_on(queue: MessageQueue):
    done = run("put", "--timeout", "0", queue.name, *['{"n": 1}'] * 8)
    assert (done.code, done.out) == (1, "put 5, not put 0; stopped at event 6\n")
    assert done.err.count("is full") == 1
    assert "(waited 0 s)" in done.err
    done = run("put", "--timeout", "0", queue.name, stdin="\nx\n{}\n{}\n")
    assert (done.code, done.out) == (1, "put 0, not put 1; stopped at line 3\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_put_says_how_far_it_came_when_it_is_interrupted(queue: MessageQueue, number: signal.Signals):
    command = [sys.executable, "-m", "eventpub", "put", queue.name]
    with subprocess.Popen(command, cwd=ROOT, stdin=-1, stdout=-1, stderr=-1) as put:
        put.stdin.write(b"{}\n" * 3)
        put.stdin.flush()
        wait_until(lambda: queue.depth() == 3, "three events")
        put.send_signal(number)
        out, err = put.communicate(timeout=DEADLINE_SECONDS)
    assert (put.returncode, out, err) == (130, b"put 3, not put 0; stopped at line 4\n", b"")


def test_put_makes_no_queue_of_a_mistyped_name(queue_name: str):
    done = run("put", queue_name, "{}")
    assert done == Done(
        69,
        "",
        f"eventpub: queue {queue_name!r}: there is no such queue; start its sidecar, "
        f"or run `eventpub queue create {queue_name}`\n",
    )


def test_fields_of_an_event_become_one_of_version_2(queue: MessageQueue):
    fields = {"source": "a", "action": "b", "noun": "c", "user": {"id": "u", "roles": ["r"]}, "geo": None}
    fields |= {"experiments": [{"name": "x", "is_override": True}], "properties": {"k": "v"}}
    assert run("put", "--event", queue.name, json.dumps(fields)).code == 0
    assert decode_struct(Event, json.loads(queue.receive())) == Event(
        source="a",
        action="b",
        noun="c",
        user=User(id="u", roles=["r"]),
        experiments=[Experiment(name="x", is_override=True)],
        properties={"k": "v"},
    )


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"nuon": "c"}, "nuon is unknown: Event has no such field; did you mean noun? (it has source, "),
        ({"user": {"nam": "x"}}, "user.nam is unknown: User has no such field"),
        ({"user": "u"}, "user is 'u': expected an object of field names"),
        ({"experiments": [{}, 1]}, "experiments[1] is 1: expected an object of field names"),
        ({"session": {"is_first": "no"}}, "session.is_first is 'no': expected true or false"),
        ({"client_timestamp": "now"}, "client_timestamp is of type str"),
        ({"experiments": "x"}, "experiments is of type str"),
        ({"properties": [1]}, "properties is of type list"),
        ({"source": None}, "source"),
    ],
)
def test_fields_that_no_event_has_are_named(queue: MessageQueue, more: dict[str, object], complaint: str):
    fields = {"source": "a", "action": "b", "noun": "c"} | more
    done = run("put", "--event", queue.name, json.dumps(fields))
    assert (done.code, done.out) == (1, "put 0, not put 1\n")
    assert complaint in done.err
    assert "Traceback" not in done.err


def test_events_are_utf_8_whatever_the_locale(queue: MessageQueue):
    event = '{"n":"grün"}'
    command = f"$eventpub put {queue.name} '{event}' && echo '{event}' | $eventpub put {queue.name}"
    done = script(f"export PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 LC_ALL=C; {command}")
    assert (done.returncode, done.stderr) == (0, "")
    assert [queue.receive(), queue.receive()] == [event.encode()] * 2


def test_put_requires_a_name_and_no_event():
    assert "required: NAME\n" in run("put").err


# --- output that cannot be written -----------------------------------------------------------------------


@pytest.mark.parametrize("words", ["queue list >&-", "doctor >&-", "doctor >/dev/full"])
def test_output_that_cannot_be_written_is_said_so_and_has_an_exit_code(words: str):
    done = script(f"$eventpub {words}")
    assert done.returncode == 74
    assert re.fullmatch(r"eventpub: standard output.*\n", done.stderr)


# --- eventpub queue --------------------------------------------------------------------------------------


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
    assert "LimitMSGQUEUE=1099517919232" in done.err


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


@pytest.mark.parametrize("words", ["doctor --queue {}", "queue show {}", "queue drop {}"])
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


# --- eventpub doctor -------------------------------------------------------------------------------------


def test_doctor_has_nothing_against_limits_that_allow_all_that_is_wanted():
    (finding,) = doctor._check_limits(KernelLimits(10_000, 102_400, 256, UNLIMITED, UNLIMITED))
    assert finding.level is doctor.Level.OK
    assert finding.text.endswith("RLIMIT_MSGQUEUE unlimited")


@pytest.mark.skipif(not may_raise_limits(), reason="takes CAP_SYS_RESOURCE, which containers seldom have")
def test_doctor_has_nothing_against_a_tuned_kernel_and_a_private_queue(queue_name: str):
    def look() -> Done:
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (resource.RLIM_INFINITY,) * 2)
        MessageQueue.open(queue_name)
        return eventpub("doctor", "--queue", queue_name)

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
    done = run("doctor", "--queue", queue_name)
    assert done.code == 1
    assert f"warning  {queue_name}: does not exist" in done.out


def test_doctor_tells_of_a_queue_that_fills(queue: MessageQueue):
    for _ in range(4):
        queue.send(b"{}")
    done = run("doctor", "--queue", queue.name)
    assert done.code == 1
    assert f"warning  {queue.name}: 4 of 5 events wait in it\n         start its sidecar" in done.out
    assert re.search(rf"ok       {queue.name}: open in .*\({os.getpid()}\)", done.out)


def test_doctor_tells_of_a_queue_that_others_may_read(queue_name: str):
    with MessageQueue.open(queue_name, max_messages=1, max_message_size=128, mode=0o644):
        done = run("doctor", "--queue", queue_name)
    assert done.code == 1
    assert "mode 0644 (any user can take events)" in done.out


def test_doctor_tells_who_still_has_a_queue_that_was_removed(queue: MessageQueue):
    queue.unlink()
    done = run("doctor", "--queue", queue.name)
    assert done.code == 1
    assert re.search(rf"warning  {queue.name}: .*\({os.getpid()}\) still has a removed queue", done.out)


@as_root
def test_doctor_tells_of_a_process_that_uses_another_namespace(queue: MessageQueue):
    done = in_own_namespace(lambda: eventpub("doctor", "--queue", queue.name))
    assert done.code == 1
    assert re.search(
        rf"warning  {queue.name}: .*\({os.getpid()}\) has a queue .* another IPC namespace", done.out
    )


@as_root
def test_doctor_fails_for_a_user_who_may_not_send(queue: MessageQueue):
    done = run("doctor", "--queue", queue.name, uid=other_uid())
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

    done = run("doctor", "--queue", queue.name, before=use_up)
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


# --- terminals -------------------------------------------------------------------------------------------


def in_terminal(*arguments: str, **environment: str) -> str:
    """Return what the command writes to a terminal."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        process = subprocess.Popen(
            [sys.executable, "-m", "eventpub", *arguments],
            cwd=ROOT,
            stdout=theirs,
            env=os.environ | {"NO_COLOR": "", "TERM": "xterm", **environment},
        )
        os.close(theirs)
        written = b""
        with contextlib.suppress(OSError):  # EIO: the command has ended
            while chunk := screen.read(4096):
                written += chunk
        process.wait(30)
    return written.decode()


def test_a_terminal_gets_colour_unless_it_is_unwanted(queue: MessageQueue):
    arguments = ("doctor", "--queue", queue.name)
    assert "\x1b[32mok" in in_terminal(*arguments)
    assert "\x1b" not in in_terminal(*arguments, NO_COLOR="1")
    assert "\x1b" not in in_terminal(*arguments, TERM="dumb")
    assert "\x1b" not in script("$eventpub " + " ".join(arguments)).stdout
