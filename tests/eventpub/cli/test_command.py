"""The command line of `eventpub`: help, arguments, exit codes."""

from __future__ import annotations

import re

import pytest
from support.eventpub_command import run, script

from eventpub.cli.help_format import FoldedHelp
from eventpub.queue.message_queue import MessageQueue


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
    assert "event 1, -1: it is not an object" in done.err


def test_an_option_that_a_command_does_not_have_is_answered_with_the_usage_of_that_command():
    done = run("put", "x", "--evnt", "{}")
    assert (done.code, done.out) == (64, "")
    assert done.err.startswith("usage: eventpub put [-h] [--event] ")
    assert done.err.endswith("eventpub put: unrecognized arguments: --evnt {}\n")


def test_an_argument_is_held_to_what_a_configuration_file_may_say():
    done = run("queue", "create", "x", "--max-message-size", "1 GiB")
    assert "argument --max-message-size: '1 GiB' is not bytes, or a number with KiB, MiB or GiB" in done.err


@pytest.mark.parametrize(
    "words", ["queue create a/b", "queue show .a", "put a/b {}", "doctor --queue-name a/b"]
)
def test_a_name_that_no_queue_can_have_is_a_wrong_command_line(words: str):
    done = run(*words.split())
    assert (done.code, done.out) == (64, "")
    assert "use 1 to 200 letters, digits, dots, dashes and underscores" in done.err


def test_python_m_eventpub_is_the_command():
    done = script("$eventpub --version; $eventpub nonsense")
    assert re.fullmatch(r"eventpub \d+\.\d+\.\d+ loops=(compiled|python \(.*\))\n", done.stdout)
    assert done.returncode == 64


def test_output_that_nobody_reads_is_no_error(queue: MessageQueue):
    done = script(f"($eventpub queue show {queue.name}; echo $? >&2) | true")
    assert done.stderr == "0\n"


def test_help_parts_no_exit_code_from_its_meaning() -> None:
    text = (
        "exit codes: 0 dropped   1 not dropped: --yes is missing   2 a replay is running\n"
        "            64 wrong arguments,\nor none   73 no access\n"
    )
    formatter = FoldedHelp("eventpub", width=42)
    formatter.add_text(text)
    assert formatter.format_help().splitlines() == [
        "exit codes: 0 dropped",
        "            1 not dropped: --yes is",
        "              missing",
        "            2 a replay is running",
        "            64 wrong arguments, or none",
        "            73 no access",
    ]
