"""The routing backend, sentence by sentence as event-tracking documents its own."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from eventpub.schemas.event.ttypes import Event as ThriftEvent
from eventpub.schemas.event.ttypes import User
from eventpub.tracking import (
    EventEmissionExit,
    MemoryBackend,
    NoBackendEnabled,
    NotAStageError,
    NoTransformerImplemented,
    RegexFilter,
    RoutingBackend,
)

EVENT = {"name": "shop.cart.opened", "data": {"items": [1, 2]}}


class Recorder:
    """A backend as anybody may write one: it keeps the very object it is sent."""

    only_reads = True

    def __init__(self, label: str = "", calls: list[str] | None = None) -> None:
        self.label = label
        self.calls = [] if calls is None else calls
        self.events: list[Any] = []

    def send(self, event: Any) -> None:
        self.calls.append(self.label)
        self.events.append(event)


class Failing:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def send(self, _: Any) -> None:
        raise self.error


def failing_processor(_: Any) -> None:
    raise LookupError("no such course")


def ending_processor(_: Any) -> None:
    raise EventEmissionExit


# --- processors ------------------------------------------------------------------------------------------


def test_processors_are_chained_each_working_on_what_the_one_before_it_returned():
    def wrap(label: str):
        return lambda event: {"name": f"{label}({event['name']})"}

    recorder = Recorder()
    RoutingBackend({"r": recorder}, [wrap("a"), wrap("b"), wrap("c")]).send({"name": "event"})
    assert recorder.events == [{"name": "c(b(a(event)))"}]


def test_processors_run_in_the_order_of_their_registration():
    order: list[str] = []
    router = RoutingBackend(processors=[lambda _: order.append("first")])
    router.register_processor(lambda _: order.append("second"))
    router.send(EVENT)
    assert order == ["first", "second"]


def test_a_processor_may_change_the_event_in_place_and_return_nothing():
    recorder = Recorder()
    RoutingBackend({"r": recorder}, [lambda event: event["data"].update(seen=True)]).send(EVENT)
    assert recorder.events[0]["data"] == {"items": [1, 2], "seen": True}


def test_a_processor_may_return_a_new_event():
    recorder = Recorder()
    RoutingBackend({"r": recorder}, [lambda event: {**event, "name": "other"}]).send(EVENT)
    assert recorder.events == [{**EVENT, "name": "other"}]


@pytest.mark.parametrize("empty", [{}, [], 0, ""])
def test_only_none_keeps_the_event_and_not_whatever_is_false(empty: Any):
    recorder = Recorder()
    RoutingBackend({"r": recorder}, [lambda _: empty]).send(EVENT)
    assert recorder.events == [empty]


def test_event_emission_exit_keeps_the_event_from_later_processors_and_from_all_backends():
    recorder, later = Recorder(), []
    router = RoutingBackend({"r": recorder}, [ending_processor, later.append])
    router.send(EVENT)
    assert (recorder.events, later) == ([], [])


def test_whatever_else_a_processor_raises_is_logged_and_the_event_goes_on(caplog: pytest.LogCaptureFixture):
    recorder = Recorder()
    router = RoutingBackend({"r": recorder}, [failing_processor, lambda event: {**event, "later": True}])
    router.send(EVENT)
    assert recorder.events == [{**EVENT, "later": True}]
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "failing_processor" in record.getMessage()
    assert "shop.cart.opened" in record.getMessage()
    assert record.exc_info[0] is LookupError
    assert router.failures == {"processor failing_processor": 1}


def test_process_event_returns_what_the_processors_made_and_sends_nothing():
    recorder = Recorder()
    router = RoutingBackend({"r": recorder}, [lambda event: {**event, "processed": True}])
    assert router.process_event(EVENT) == {**EVENT, "processed": True}
    assert recorder.events == []


def test_process_event_without_processors_returns_the_event_itself():
    assert RoutingBackend().process_event(EVENT) is EVENT


def test_process_event_lets_event_emission_exit_through():
    with pytest.raises(EventEmissionExit):
        RoutingBackend(processors=[ending_processor]).process_event(EVENT)


# --- backends --------------------------------------------------------------------------------------------


def test_backends_given_at_the_start_are_registered_in_the_order_of_their_sorted_names():
    calls: list[str] = []
    router = RoutingBackend({name: Recorder(name, calls) for name in ("c", "a", "10", "b", "9")})
    router.send(EVENT)
    assert calls == ["10", "9", "a", "b", "c"]
    assert list(router.backends) == calls


def test_backends_registered_later_come_after_those_whatever_their_names():
    calls: list[str] = []
    router = RoutingBackend({"m": Recorder("m", calls)})
    router.register_backend("a", Recorder("a", calls))
    router.send(EVENT)
    assert calls == ["m", "a"]


def test_each_backend_gets_the_same_event():
    first, second = Recorder(), Recorder()
    RoutingBackend({"1": first, "2": second}, [lambda event: {**event, "n": 1}]).send(EVENT)
    assert first.events == second.events == [{**EVENT, "n": 1}]


def test_backends_are_called_before_send_returns_one_after_the_other():
    during: list[int] = []

    class Slow(Recorder):
        def send(self, _: Any) -> None:
            during.append(len(second.events))

    second = Recorder()
    RoutingBackend({"1": Slow(), "2": second}).send(EVENT)
    assert during == [0]
    assert len(second.events) == 1


def test_what_a_backend_raises_is_logged_and_does_not_keep_the_event_from_the_next(
    caplog: pytest.LogCaptureFixture,
):
    recorder = Recorder()
    router = RoutingBackend({"1 mongo": Failing(OSError("connection refused")), "2": recorder})
    router.send(EVENT)
    router.send(EVENT)
    assert recorder.events == [EVENT, EVENT]
    record = caplog.records[0]
    assert record.levelno == logging.ERROR
    assert "shop.cart.opened" in record.getMessage()
    assert "1 mongo" in record.getMessage()
    assert record.exc_info[0] is OSError
    assert router.failures == {"backend 1 mongo": 2}


def test_a_backend_that_returns_false_has_failed_and_has_logged_why_itself(caplog: pytest.LogCaptureFixture):
    class Refusing:
        def send(self, _: Any) -> bool:
            return False

    class Counting:
        def send(self, _: Any) -> int:
            return 0

    router = RoutingBackend({"refusing": Refusing(), "counting": Counting()})
    router.send({"name": "n"})
    assert router.failures == {"backend refusing": 1}
    assert not caplog.records


def test_an_event_whose_name_cannot_be_asked_for_lets_nothing_out(caplog: pytest.LogCaptureFixture):
    class Nameless:
        @property
        def name(self) -> str:
            raise LookupError("no name")

    class Failing:
        def send(self, _: Any) -> None:
            raise OSError

    caplog.set_level("INFO")
    router = RoutingBackend({"failing": Failing()}, [RegexFilter(regular_expressions=["x"])])
    router.send(Nameless())
    assert router.failures == {"processor RegexFilter": 1, "backend failing": 1}
    assert caplog.text.count("'unknown'") == 2


@pytest.mark.parametrize("reason", [NoTransformerImplemented, NoBackendEnabled])
def test_a_backend_that_does_not_take_an_event_by_design_is_noted_and_counts_as_no_failure(
    reason: type[Exception], caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    recorder = Recorder()
    router = RoutingBackend({"1 xapi": Failing(reason("switched off")), "2": recorder})
    router.send(EVENT)
    (record,) = caplog.records
    assert (record.levelno, record.exc_info) == (logging.INFO, None)
    for part in ("1 xapi", "shop.cart.opened", reason.__name__, "switched off"):
        assert part in record.getMessage()
    assert recorder.events == [EVENT]
    assert not router.failures


def test_what_is_no_exception_of_the_program_comes_through():
    with pytest.raises(KeyboardInterrupt):
        RoutingBackend({"r": Failing(KeyboardInterrupt())}).send(EVENT)


def test_send_to_backends_sends_the_event_as_it_is_without_processing_it():
    recorder = Recorder()
    RoutingBackend({"r": recorder}, [ending_processor]).send_to_backends(EVENT)
    assert recorder.events[0] is EVENT


def test_a_backend_registered_under_a_name_again_takes_the_place_of_the_one_before():
    calls: list[str] = []
    router = RoutingBackend({"a": Recorder("old", calls), "b": Recorder("b", calls)})
    router.register_backend("a", Recorder("new", calls))
    router.send(EVENT)
    assert calls == ["new", "b"]


# --- trees -----------------------------------------------------------------------------------------------


def test_a_router_behind_a_router_makes_a_tree():
    left, right, top = Recorder(), Recorder(), Recorder()

    def append(text: str):
        return lambda event: {**event, "path": event.get("path", "") + text}

    router = RoutingBackend(
        {
            "left": RoutingBackend({"r": left}, [append("/left")]),
            "right": RoutingBackend({"r": RoutingBackend({"r": right}, [append("/deep")])}, [append("/right")]),
            "top": top,
        },
        [append("/top")],
    )
    router.send({"name": "n"})
    assert [recorder.events[0]["path"] for recorder in (left, right, top)] == [
        "/top/left",
        "/top/right/deep",
        "/top",
    ]


def test_a_branch_that_ends_an_event_ends_it_for_itself_alone():
    ended, other = Recorder(), Recorder()
    RoutingBackend({"1": RoutingBackend({"r": ended}, [ending_processor]), "2": other}).send(EVENT)
    assert (ended.events, other.events) == ([], [EVENT])


def test_a_branch_that_changes_the_event_in_place_changes_it_for_itself_alone():
    changed, other = Recorder(), Recorder()
    branch = RoutingBackend({"r": changed}, [lambda event: event["data"]["items"].append(3)])
    event = {"name": "n", "data": {"items": [1, 2]}}
    RoutingBackend({"1": branch, "2": other}).send(event)
    assert changed.events[0]["data"]["items"] == [1, 2, 3]
    assert other.events[0] == event == {"name": "n", "data": {"items": [1, 2]}}


# --- what is refused -------------------------------------------------------------------------------------


class NoSend: ...


class SendIsNoMethod:
    send = "send"


@pytest.mark.parametrize("backend", [NoSend(), SendIsNoMethod(), None, "logger"])
def test_a_backend_without_a_send_that_can_be_called_is_a_value_error(backend: Any):
    with pytest.raises(ValueError, match=r"backend 'b': .* has no send\(event\) that can be called"):
        RoutingBackend({"b": backend})
    with pytest.raises(NotAStageError) as caught:
        RoutingBackend().register_backend("b", backend)
    assert caught.value.given == repr(backend)


@pytest.mark.parametrize("processor", [1, None, "lowercase"])
def test_a_processor_that_cannot_be_called_is_a_value_error(processor: Any):
    with pytest.raises(ValueError, match=r"processor 2: .* cannot be called"):
        RoutingBackend(processors=[failing_processor, processor])
    with pytest.raises(NotAStageError):
        RoutingBackend().register_processor(processor)


# --- whose data it is ------------------------------------------------------------------------------------


def test_what_processors_change_in_place_never_reaches_the_sender():
    def scribble(event: Any) -> None:
        event["name"] = "changed"
        event["data"]["items"].append("changed")
        event["new"] = True

    event = {"name": "n", "data": {"items": [1]}}
    RoutingBackend(processors=[scribble]).send(event)
    assert event == {"name": "n", "data": {"items": [1]}}


def test_a_backend_that_changes_events_against_the_rules_does_not_reach_the_sender_either():
    class Scribbler:
        def send(self, event: Any) -> None:
            event["data"]["items"].clear()

    event = {"name": "n", "data": {"items": [1]}}
    RoutingBackend({"s": Scribbler()}).send(event)
    RoutingBackend({"r": RoutingBackend({"s": Scribbler()})}).send(event)
    assert event == {"name": "n", "data": {"items": [1]}}


def test_nothing_is_copied_where_nothing_can_change_it():
    recorder = Recorder()  # promises only to read
    RoutingBackend({"a": recorder, "b": RoutingBackend({"c": recorder})}).send(EVENT)
    assert recorder.events[0] is EVENT
    assert recorder.events[1] is EVENT


def test_what_is_returned_in_place_of_the_event_is_not_copied_again():
    recorder, other = Recorder(), {"name": "other"}
    RoutingBackend({"r": recorder}, [lambda _: other]).send(EVENT)
    assert recorder.events[0] is other


# --- any kind of event -----------------------------------------------------------------------------------


def test_structs_go_through_processors_and_stay_the_senders_own():
    memory = MemoryBackend()
    event = ThriftEvent(source="shop", action="buy", noun="tea", user=User(id="u1"))

    def anonymize(event: ThriftEvent) -> None:
        event.user.id = None

    RoutingBackend({"m": memory}, [anonymize]).send(event)
    assert memory.events[0].user.id is None
    assert event.user.id == "u1"


def test_objects_with_a_name_are_logged_by_it(caplog: pytest.LogCaptureFixture):
    class Named:
        name = "an object's name"

    RoutingBackend({"b": Failing(ValueError())}, [failing_processor]).send(Named())
    assert [("an object's name" in record.getMessage()) for record in caplog.records] == [True, True]


def test_an_event_without_a_name_is_logged_as_unknown(caplog: pytest.LogCaptureFixture):
    RoutingBackend({"b": Failing(ValueError())}).send({"data": 1})
    assert "'unknown'" in caplog.text
