"""`eventpub put`."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys

import pytest
from support.commands import Done
from support.eventpub_command import run, script
from support.paths import ROOT
from support.waiting import DEADLINE_SECONDS, wait_until

from eventpub.queue.message_queue import MessageQueue
from eventpub.schemas.event.ttypes import Event, Experiment, User
from eventpub.serialization.thrift_json_decode import decode_struct


def test_put_takes_events_from_arguments_or_lines(queue: MessageQueue):
    assert run("put", queue.name, '{"n": 1}', '{"n": 2}') == Done(0, "put 2, not put 0\n", "")
    assert run("put", queue.name, stdin='{"n": 3}\n\n{"n": 4}') == Done(0, "put 2, not put 0\n", "")
    assert [json.loads(queue.receive()) for _ in range(4)] == [{"n": n} for n in (1, 2, 3, 4)]


def test_put_says_which_events_it_could_not_put_and_goes_on(queue: MessageQueue):
    done = run("put", queue.name, stdin='{"n": 1}\n[2]\nnonsense\n{"n": "' + "4" * 512 + '"}\n{"n": 5}\n')
    assert (done.code, done.out) == (1, "put 2, not put 3\n")
    assert "event 2, [2]: it is not an object" in done.err
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


def test_control_characters_of_an_event_do_not_reach_the_terminal(queue: MessageQueue):
    done = run("put", queue.name, stdin="[\x1b]0;owned\x07\x9b2J\x7f]\n")
    assert "event 1, [\\u001b]0;owned\\u0007\\u009b2J\\u007f]: " in done.err


def test_control_characters_of_arguments_do_not_reach_the_terminal():
    for words in (("queue", "show"), ("queue", "list"), ("spool", "status")):
        assert "\x1b" not in run(*words, "\x1b[2J").err
