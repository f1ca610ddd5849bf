"""Events that really go through a sidecar and a collector, as tests of applications ask for them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.ports import free_port
from support.processes import run_pytest
from support.waiting import wait_until

from eventpub import EventQueue
from eventpub.schemas.event.ttypes import Event, User
from eventpub.testing import CollectedEvents, run_dev
from eventpub.testing.collected import PAGE_QUEUE_VARIABLE, PAGE_VARIABLE


@pytest.fixture(scope="module")
def eventpub_dev() -> Iterator[CollectedEvents]:
    with run_dev(f"collected{os.getpid()}") as running:
        yield running


def put(collected: CollectedEvents, *events: object) -> None:
    with EventQueue(collected.queue_name) as queue:
        for event in events:
            queue.put(event, timeout=10)


def test_an_event_is_found_once_it_is_stored(collected_events: CollectedEvents) -> None:
    put(
        collected_events, Event(source="shop", action="buy", noun="tea", user=User(id="u_1", is_logged_in=True))
    )
    put(collected_events, Event(source="shop", action="buy", noun="cake"))
    (event,) = collected_events.good({"user.id": "u_1", "user.is_logged_in": True}, wait_seconds=30)
    assert event["noun"] == "tea"
    assert [event["noun"] for event in collected_events.good(count=2, wait_seconds=30)] == ["tea", "cake"]
    assert collected_events.bad(count=0) == []


def test_each_test_begins_with_nothing(collected_events: CollectedEvents) -> None:
    assert collected_events.good(count=0) == []


def test_a_refused_event_is_found_with_its_field_and_reason(collected_events: CollectedEvents) -> None:
    put(collected_events, {"noun": "a dict where structs are taken"})
    (refused,) = collected_events.bad(wait_seconds=30)
    assert refused.status in (400, 422)
    assert refused.reason


def test_what_does_not_come_fails_the_test_and_says_what_was_refused(collected_events: CollectedEvents) -> None:
    with pytest.raises(AssertionError, match=r"^0 of 2 such events came within 0.1 s; none was refused\n\n"):
        collected_events.good({"noun": "milk"}, count=2, wait_seconds=0.1)
    put(collected_events, {"noun": "a dict where structs are taken"})
    collected_events.bad(wait_seconds=30)
    with pytest.raises(AssertionError, match=r"; 1 were refused: .+"):
        collected_events.good({"noun": "milk"}, wait_seconds=0.1)

    def is_told() -> bool:  # soon: eventpub dev looks at the logs a few times a second
        with pytest.raises(AssertionError) as raised:
            collected_events.good({"noun": "milk"}, wait_seconds=0.1)
        log = str(raised.value).partition("\n\nthe log of eventpub dev:\n")[2]
        lines = (r"^collector: .* path=/v2 status=422 ", "^sidecar: .* events became dead letters ")
        return all(re.search(line, log, re.MULTILINE) for line in lines)

    wait_until(is_told, "the log of both programs is told")


def test_a_field_may_have_the_name_of_a_parameter(collected_events: CollectedEvents) -> None:
    with pytest.raises(AssertionError, match="0 of 1"):
        collected_events.good({"wait": "soon", "count": 3}, wait_seconds=0.1)


def test_the_page_of_a_collector_that_runs_already_is_used(
    eventpub_dev: CollectedEvents, tmp_path: Path
) -> None:
    (tmp_path / "test_app.py").write_text("""
import os, pytest
from eventpub import EventQueue
from eventpub.schemas.event.ttypes import Event

@pytest.mark.skipif("EVENTPUB_PAGE_QUEUE" not in os.environ, reason="that of eventpub dev is another's")
def test_page(collected_events):
    with EventQueue(collected_events.queue_name) as events:
        events.put(Event(source="shop", action="buy", noun="milk"), timeout=10)
    assert collected_events.good({"noun": "milk"}, wait_seconds=30)

def test_queue(eventpub_dev):
    print(eventpub_dev.page_url, eventpub_dev.queue_name)
""")
    for version, named, queue in (("2", "", "v2"), ("2j", "", "v2j"), ("2", *[eventpub_dev.queue_name] * 2)):
        page = {PAGE_VARIABLE: eventpub_dev.page_url, **({PAGE_QUEUE_VARIABLE: named} if named else {})}
        arguments = ("-s", "-o", f"eventpub_version={version}")
        done = run_pytest(tmp_path / "test_app.py", *arguments, environment=page)
        assert f"{eventpub_dev.page_url} {queue}\n" in done.stdout, done.stdout
        assert ("2 passed" if named else "1 passed") in done.stdout, done.stdout


def test_where_no_page_answers_the_error_names_the_variable_and_what_to_do() -> None:
    closed = f"http://127.0.0.1:{free_port()}"
    for url in (closed, "nonsense"):
        with pytest.raises(
            RuntimeError, match=f"no page .* '{url}' .*; start eventpub dev, and set {PAGE_VARIABLE}"
        ):
            CollectedEvents(url).reset()


def test_two_in_one_process_have_a_queue_each() -> None:
    with run_dev() as one, run_dev() as other:
        put(one, Event(source="shop", action="buy", noun="tea"))
        put(other, Event(source="shop", action="buy", noun="cake"))
        for collected, noun in ((one, "tea"), (other, "cake")):
            assert [event["noun"] for event in collected.good(wait_seconds=30)] == [noun]
