"""The order of handlers: the same everywhere, true to all requirements, or refused with a reason."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpub.errors import EventPubError
from eventpub.processing import Processor, required_by, requires, want
from eventpub.processing.errors import (
    HandlerMissingError,
    HandlerRegisteredError,
    IncompatibleWantsError,
    ProcessingError,
    RequirementLoopError,
)

Decorator = Callable[[Any], Any]


class Calls:
    """A processor whose handlers note that they were called."""

    def __init__(self) -> None:
        self.processor: Processor[dict[str, Any]] = Processor()
        self._names: list[str] = []

    def add(self, name: str, *decorators: Decorator) -> None:
        def handler(*_: object) -> None:
            self._names.append(name)

        for decorate in decorators:
            decorate(handler)
        self.processor.register(handler, name)

    def of(self, event_name: str = "ev", **data: Any) -> str:
        """The handlers that an event gets."""
        self._names.clear()
        self.processor.process({"name": event_name, **data})
        return " ".join(self._names)


@pytest.fixture
def calls() -> Calls:
    return Calls()


def refused(calls: Calls, kind: type[ProcessingError], *event_names: str) -> Any:
    """The error that is raised for each of the events, and if nobody asks before, by `check`."""
    for name in event_names:
        with pytest.raises(kind):
            calls.of(name)
    with pytest.raises(kind) as raised:
        calls.processor.check()
    return raised.value


# --- the order -------------------------------------------------------------------------------------------


def test_handlers_that_require_nothing_run_in_the_order_of_registration(calls: Calls):
    for name in "zyxabc":
        calls.add(name)
    assert calls.of() == "z y x a b c"


def test_a_requirement_moves_a_handler_no_further_back_than_it_must(calls: Calls):
    calls.add("a", requires("c"))
    for name in "bcde":
        calls.add(name)
    assert calls.of() == "b c a d e"


def test_requirements_hold_over_several_steps_and_both_ways_of_saying_them(calls: Calls):
    calls.add("d", requires("c"))
    calls.add("c", requires("b"))
    calls.add("b")
    calls.add("a", required_by("b", "d"))
    assert calls.of() == "a b c d"


def test_a_requirement_that_is_said_twice_counts_once(calls: Calls):
    calls.add("b", requires("a", "a"), requires("a"))
    calls.add("a", required_by("b"))
    assert calls.of() == "a b"


def test_decorators_may_be_stacked_in_any_order_and_leave_the_function_as_it_is():
    def handler(*_: object) -> None: ...

    decorated = want("x")(requires("a")(required_by("b")(handler)))
    assert decorated is handler


def test_a_wrapper_can_be_decorated_without_an_effect_on_what_it_wraps(calls: Calls):
    @want("x")
    def inner(*_: object) -> None: ...

    @functools.wraps(inner)
    def outer(*_: object) -> None: ...

    want("y")(outer)
    calls.add("plain")
    calls.processor.register(inner)
    calls.processor.register(requires("inner")(outer), "outer")
    error = refused(calls, IncompatibleWantsError)
    assert (error.handler, error.required, error.event_name) == ("outer", "inner", "y")


@st.composite
def graphs(draw: st.DrawFn) -> list[tuple[str, list[str]]]:
    """Handlers in the order of registration, each with what it requires; there is no loop."""
    names = draw(st.permutations("abcdefgh"))
    rank = {name: place for place, name in enumerate(draw(st.permutations(names)))}
    return [
        (name, draw(st.lists(st.sampled_from([o for o in names if rank[o] < rank[name]]), max_size=3)))
        if rank[name]
        else (name, [])
        for name in names
    ]


def simple_order(graph: Sequence[tuple[str, list[str]]]) -> str:
    """Again and again the first that is not done and has all it requires done."""
    done: list[str] = []
    while len(done) < len(graph):
        done.append(next(name for name, needs in graph if name not in done and set(needs) <= set(done)))
    return " ".join(done)


@given(graph=graphs(), flip=st.booleans())
def test_the_order_is_that_of_the_simplest_rule_whichever_way_requirements_are_said(
    graph: list[tuple[str, list[str]]],
    flip: bool,  # noqa: FBT001, one of two ways
):
    calls = Calls()
    for name, needs in graph:
        if flip:
            dependents = [other for other, theirs in graph if name in theirs]
            calls.add(name, *([required_by(*dependents)] if dependents else []))
        else:
            calls.add(name, *([requires(*needs)] if needs else []))
    assert calls.of() == simple_order(graph)


@given(graph=graphs(), wanted=st.sets(st.sampled_from("abcdefgh")))
def test_an_event_gets_its_handlers_in_that_order_or_nobody_for_want_of_a_required_one(
    graph: list[tuple[str, list[str]]], wanted: set[str]
):
    calls = Calls()
    for name, needs in graph:
        calls.add(
            name, *([requires(*needs)] if needs else []), want(lambda event, name=name: name in event["wanted"])
        )
    lacking = {need for name, needs in graph if name in wanted for need in needs if need not in wanted}
    if lacking:
        with pytest.raises(IncompatibleWantsError) as raised:
            calls.of(wanted=wanted)
        assert raised.value.required in lacking
    else:
        expected = [name for name in simple_order(graph).split() if name in wanted]
        assert calls.of(wanted=wanted).split() == expected


@given(names=st.lists(st.sets(st.sampled_from("abc"), min_size=1), max_size=4), asked=st.sampled_from("abcd"))
def test_an_event_is_wanted_by_any_of_the_names_and_all_of_the_filters_of_any_want(
    names: list[set[str]], asked: str
):
    for lets_through in (True, False):
        calls = Calls()
        calls.add("h", *(want(*some, lambda _, answer=lets_through: answer) for some in names))
        matches = not names or (lets_through and any(asked in some for some in names))
        assert calls.of(asked) == ("h" if matches else "")


# --- handlers that do not fit together -------------------------------------------------------------------


def test_a_requirement_loop_is_named_in_the_order_of_the_requirements(calls: Calls):
    calls.add("outside", requires("b"))
    calls.add("a", requires("b"))
    calls.add("b", requires("c"))
    calls.add("c", required_by("b"), requires("a"))
    error = refused(calls, RequirementLoopError, "ev", "another")
    assert error.loop == ("b", "c", "a", "b")
    assert "b -> c -> a -> b" in str(error)


def test_a_handler_that_requires_itself_is_a_loop(calls: Calls):
    calls.add("a", requires("a"))
    assert refused(calls, RequirementLoopError).loop == ("a", "a")


@pytest.mark.parametrize("relation", [requires, required_by])
def test_an_unknown_handler_is_named_with_those_there_are(calls: Calls, relation: Any):
    calls.add("a", relation("absent"))
    calls.add("b")
    error = refused(calls, HandlerMissingError, "ev")
    assert (error.handler, error.relation, error.missing) == ("a", relation.__name__, "absent")
    assert str(error).endswith("register it, or name one of these: a, b")
    calls.add("absent")
    assert calls.of() == ("b absent a" if relation is requires else "a b absent")


def test_a_handler_of_all_events_cannot_require_one_of_some(calls: Calls):
    calls.add("some", want("x", "y"))
    calls.add("all", requires("some"))
    calls.add("another", want("a"))
    error = refused(calls, IncompatibleWantsError, "x", "z")
    assert (error.handler, error.required, error.event_name) == ("all", "some", None)
    assert "an event of any other name goes to 'all' but not to 'some'" in str(error)


def test_a_handler_of_some_events_may_require_one_of_more_and_one_of_all(calls: Calls):
    calls.add("c", want("x"), requires("a", "b"))
    calls.add("b", want("x", "y"))
    calls.add("a")
    assert [calls.of(name) for name in "xyz"] == ["b a c", "b a", "a"]


def test_names_may_be_spread_over_wants(calls: Calls):
    calls.add("a", want("x"), want("y"))
    calls.add("b", want("x", "y"), requires("a"))
    assert calls.of("y") == "a b"


def test_filters_are_compared_event_by_event_before_any_handler_is_called(calls: Calls):
    calls.add("first")
    calls.add("paid", want("x", lambda event: event["paid"]))
    calls.add("thank", want("x"), requires("paid"))
    assert calls.of("x", paid=True) == "first paid thank"
    with pytest.raises(IncompatibleWantsError) as raised:
        calls.of("x", paid=False)
    assert calls._names == []
    assert (raised.value.handler, raised.value.required, raised.value.event_name) == ("thank", "paid", "x")
    assert calls.of("y") == "first"


def test_a_filter_without_names_is_no_promise_about_names(calls: Calls):
    """It may well let through what a handler it requires wants by name, so it is decided by the event."""
    calls.add("a", want("x"))
    calls.add("b", want(lambda event: event["name"] == "x"), requires("a"))
    calls.processor.check()
    assert (calls.of("x"), calls.of("y")) == ("a b", "")


def test_a_handler_whose_filter_refuses_need_not_have_what_it_requires(calls: Calls):
    calls.add("a", want("x"))
    calls.add("b", want("y", lambda _: False), requires("a"))
    assert (calls.of("x"), calls.of("y")) == ("a", "")


# --- wrong use -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("decorate", "message"),
    [
        (want, "@want\\(\\) needs names"),
        (lambda: want("x", 3), "@want takes names of events and filters, not 3"),
        (requires, "@requires\\(\\) names no handler"),
        (required_by, "@required_by\\(\\) names no handler"),
        (lambda: requires(print), '@requires takes names of handlers.*@requires\\("NAME"\\)'),
        (lambda: required_by(3), '@required_by takes names of handlers, not 3: @required_by\\("NAME"\\)'),
    ],
)
def test_decorators_say_what_they_take(decorate: Callable[[], Any], message: str):
    with pytest.raises(TypeError, match=message):
        decorate()


@pytest.mark.parametrize(
    "error",
    [
        HandlerRegisteredError("a"),
        HandlerMissingError("a", "requires", "b", ("a",)),
        RequirementLoopError(("a", "b", "a")),
        IncompatibleWantsError("a", "b", None),
    ],
)
def test_errors_are_of_one_tree_and_pickle(error: ProcessingError):
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(error, EventPubError)
    assert (str(again), vars(again)) == (str(error), vars(error))
