"""The tracker, sentence by sentence as event-tracking documents its own."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator
from copy import copy
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from eventpub.tracking import MemoryBackend, Tracker, TrackerMissingError, emit, get_tracker, register_tracker
from eventpub.tracking import tracker as tracker_module


@pytest.fixture
def memory() -> MemoryBackend:
    return MemoryBackend()


@pytest.fixture
def tracker(memory: MemoryBackend) -> Tracker:
    return Tracker({"memory": memory})


@pytest.fixture
def registry() -> Iterator[None]:
    """The process's trackers: none before and none afterwards."""
    tracker_module._trackers.clear()
    yield
    tracker_module._trackers.clear()


# --- emit ------------------------------------------------------------------------------------------------


def test_an_event_has_name_timestamp_data_and_context_and_nothing_else(tracker: Tracker, memory: MemoryBackend):
    tracker.emit("org.example.video.stop", {"second": 12})
    (event,) = memory.events
    assert set(event) == {"name", "timestamp", "data", "context"}
    assert (event["name"], event["data"], event["context"]) == ("org.example.video.stop", {"second": 12}, {})


def test_the_timestamp_is_the_time_of_the_call_in_utc(tracker: Tracker, memory: MemoryBackend):
    before = datetime.now(timezone.utc)
    tracker.emit("n")
    after = datetime.now(timezone.utc)
    (event,) = memory.events
    assert before <= event["timestamp"] <= after
    assert event["timestamp"].utcoffset() == timedelta(0)


@pytest.mark.parametrize("name", [None, ""])
def test_an_event_without_a_name_is_unknown(name: str | None, tracker: Tracker, memory: MemoryBackend):
    tracker.emit(name)
    assert memory.names == ["unknown"]


def test_everything_about_an_event_can_be_left_out(tracker: Tracker, memory: MemoryBackend):
    tracker.emit()
    assert memory.events[0]["data"] == {}


def test_name_and_data_can_be_given_by_name(tracker: Tracker, memory: MemoryBackend):
    tracker.emit(name="n", data={"a": 1})
    assert memory.names == ["n"]


def test_events_without_data_do_not_share_their_empty_data(memory: MemoryBackend):
    tracker = Tracker(
        {"memory": memory}, processors=[lambda event: event["data"].update(seen=len(memory.events))]
    )
    tracker.emit("a")
    tracker.emit("b")
    assert [event["data"] for event in memory.events] == [{"seen": 0}, {"seen": 1}]


def test_a_tracker_without_anything_emits_into_nothing():
    Tracker().emit("n", {"a": 1})


def test_an_event_goes_through_the_processors_to_every_backend():
    first, second = MemoryBackend(), MemoryBackend()
    Tracker({"1": first, "2": second}, processors=[lambda event: {**event, "name": "other"}]).emit("n")
    assert first.names == second.names == ["other"]


def test_what_is_emitted_stays_the_callers_own():
    def scribble(event: Any) -> None:
        event["data"]["tags"].append("scribbled")
        event["context"]["roles"].append("scribbled")

    tracker = Tracker(processors=[scribble])
    data, ctx = {"tags": ["a"]}, {"roles": ["staff"]}
    with tracker.context("user", ctx):
        tracker.emit("n", data)
    assert (data, ctx) == ({"tags": ["a"]}, {"roles": ["staff"]})


# --- contexts --------------------------------------------------------------------------------------------


def test_events_emitted_after_entering_a_context_contain_all_it_holds(tracker: Tracker, memory: MemoryBackend):
    tracker.emit("before")
    tracker.enter_context("request", {"path": "/", "user": 1})
    tracker.emit("inside")
    assert [event["context"] for event in memory.events] == [{}, {"path": "/", "user": 1}]


def test_a_context_entered_later_overrides_one_entered_before(tracker: Tracker):
    tracker.enter_context("request", {"user": 1, "path": "/"})
    tracker.enter_context("masquerade", {"user": 2})
    assert tracker.resolve_context() == {"user": 2, "path": "/"}


def test_a_context_entered_again_takes_the_place_of_the_one_of_its_name(tracker: Tracker):
    tracker.enter_context("request", {"user": 1, "path": "/"})
    tracker.enter_context("request", {"user": 2})
    assert tracker.resolve_context() == {"user": 2}
    tracker.exit_context("request")
    assert tracker.resolve_context() == {}


def test_a_context_entered_again_overrides_those_entered_since_it_was_first(tracker: Tracker):
    tracker.enter_context("a", {"user": 1})
    tracker.enter_context("b", {"user": 2})
    tracker.enter_context("a", {"user": 3})
    assert tracker.resolve_context() == {"user": 3}


def test_exiting_a_context_takes_it_away_from_later_events(tracker: Tracker):
    tracker.enter_context("a", {"user": 1})
    tracker.enter_context("b", {"user": 2, "path": "/"})
    tracker.exit_context("b")
    assert tracker.resolve_context() == {"user": 1}


def test_exiting_a_context_that_was_not_entered_is_a_key_error(tracker: Tracker):
    with pytest.raises(KeyError, match="request"):
        tracker.exit_context("request")


def test_resolving_makes_a_new_dictionary_each_time(tracker: Tracker):
    tracker.enter_context("a", {"user": 1})
    tracker.resolve_context()["user"] = 2
    assert tracker.resolve_context() == {"user": 1}


def test_what_is_added_to_an_entered_context_is_in_later_events(tracker: Tracker):
    ctx: dict[str, Any] = {}
    tracker.enter_context("a", ctx)
    ctx["user"] = 1
    assert tracker.resolve_context() == {"user": 1}


def test_the_located_context_is_what_is_entered_by_name_and_can_be_changed(tracker: Tracker):
    tracker.enter_context("a", {"user": 1})
    tracker.located_context["b"] = {"path": "/"}
    assert dict(tracker.located_context) == {"a": {"user": 1}, "b": {"path": "/"}}
    del tracker.located_context["a"]
    assert tracker.resolve_context() == {"path": "/"}
    assert repr(tracker.located_context) == "{'b': {'path': '/'}}"
    with pytest.raises(KeyError):
        tracker.located_context["a"]


def test_a_block_runs_with_its_context_and_without_it_afterwards(tracker: Tracker):
    with tracker.context("a", {"user": 1}):
        assert tracker.resolve_context() == {"user": 1}
    assert tracker.resolve_context() == {}


def test_a_context_is_exited_when_its_block_raises(tracker: Tracker):
    with pytest.raises(LookupError), tracker.context("a", {"user": 1}):
        raise LookupError
    assert tracker.resolve_context() == {}


def test_a_block_of_the_same_name_restores_the_outer_value(tracker: Tracker):
    with tracker.context("a", {"user": 1}):
        with contextlib.suppress(LookupError), tracker.context("a", {"path": "/"}):
            assert tracker.resolve_context() == {"path": "/"}
            raise LookupError
        assert tracker.resolve_context() == {"user": 1}
    assert tracker.resolve_context() == {}


def test_a_block_of_the_same_name_restores_the_rank_of_the_outer_one_too(tracker: Tracker):
    with tracker.context("a", {"user": 1}), tracker.context("b", {"user": 2}):
        with tracker.context("a", {"user": 3}):
            assert tracker.resolve_context() == {"user": 3}
        assert tracker.resolve_context() == {"user": 2}


def test_a_block_leaves_contexts_of_other_names_as_they_were_left_in_it(tracker: Tracker):
    tracker.enter_context("a", {"a": 1})
    tracker.enter_context("b", {"b": 1})
    with tracker.context("b", {"b": 2}):
        tracker.exit_context("a")
        tracker.enter_context("c", {"c": 1})
    assert list(tracker.located_context.items()) == [("b", {"b": 1}), ("c", {"c": 1})]


def test_a_block_whose_context_was_exited_in_it_ends_as_any_other(tracker: Tracker):
    with tracker.context("a", {"user": 1}):
        tracker.exit_context("a")
    assert tracker.resolve_context() == {}


def test_a_function_can_be_run_with_a_context_each_time_it_is_called(tracker: Tracker):
    @tracker.context("job", {"job": "nightly"})
    def job() -> dict[str, Any]:
        return tracker.resolve_context()

    assert [job(), job(), tracker.resolve_context()] == [{"job": "nightly"}, {"job": "nightly"}, {}]


def test_trackers_do_not_share_their_contexts(tracker: Tracker):
    with tracker.context("a", {"user": 1}):
        assert Tracker().resolve_context() == {}


def test_the_locator_given_is_asked_where_contexts_are():
    class Fixed:
        contexts: dict[str, Any] = {"fixed": {"user": 1}}  # noqa: RUF012, one for all is the point

        def get(self) -> dict[str, Any]:
            return self.contexts

    tracker = Tracker(context_locator=Fixed())
    with tracker.context("a", {"path": "/"}), tracker.context("fixed", {"user": 2}):
        assert Fixed.contexts == {"fixed": {"user": 2}, "a": {"path": "/"}}
        assert tracker.resolve_context() == {"user": 2, "path": "/"}
    assert Fixed.contexts == {"fixed": {"user": 1}}


def test_a_locator_that_is_empty_when_asked_whether_it_is_true_is_used_all_the_same():
    class Empty(dict):
        def get(self) -> dict[str, Any]:
            return self

    locator = Empty()
    Tracker(context_locator=locator).enter_context("a", {})
    assert locator == {"a": {}}


# --- backends and processors -----------------------------------------------------------------------------


def test_a_backend_is_got_by_the_name_it_was_configured_with(tracker: Tracker, memory: MemoryBackend):
    assert tracker.get_backend("memory") is memory
    assert tracker.backends == {"memory": memory}
    with pytest.raises(KeyError):
        tracker.get_backend("other")


def test_the_registered_processors_are_listed():
    assert Tracker(processors=[len, repr]).processors == [len, repr]


def test_what_is_no_backend_or_processor_is_a_value_error():
    with pytest.raises(ValueError, match="backend 'b'"):
        Tracker({"b": object()})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="processor 1"):
        Tracker(processors=[object()])  # type: ignore[list-item]


# --- trackers that the whole process knows ---------------------------------------------------------------


@pytest.mark.usefixtures("registry")
def test_the_default_tracker_is_the_one_that_emit_uses(tracker: Tracker, memory: MemoryBackend):
    register_tracker(tracker)
    assert get_tracker() is get_tracker("default") is tracker
    emit("n", {"a": 1})
    emit(name="m", data={"a": 2})
    assert memory.names == ["n", "m"]


@pytest.mark.usefixtures("registry")
def test_emit_uses_the_default_tracker_registered_last(tracker: Tracker, memory: MemoryBackend):
    register_tracker(Tracker())
    register_tracker(tracker)
    emit("n")
    assert memory.names == ["n"]


@pytest.mark.usefixtures("registry")
def test_trackers_are_got_by_the_name_they_were_registered_with(tracker: Tracker):
    register_tracker(tracker, "audit")
    assert get_tracker("audit") is tracker
    with pytest.raises(KeyError):
        get_tracker()


@pytest.mark.usefixtures("registry")
def test_a_tracker_that_is_missing_is_a_key_error_that_says_how_to_mend_it():
    with pytest.raises(KeyError):
        emit("n")
    with pytest.raises(TrackerMissingError) as caught:
        get_tracker("audit")
    assert str(caught.value) == (
        "no tracker is registered as 'audit'; call register_tracker(Tracker(...), 'audit') first"
    )
    assert pickle.loads(pickle.dumps(caught.value)).tracker_name == "audit"


def test_a_tracker_is_pickled_by_its_name_and_says_so_if_it_has_none():
    registered = Tracker()
    register_tracker(registered, "pickled")
    try:
        assert pickle.loads(pickle.dumps(registered)) is registered
    finally:
        del tracker_module._trackers["pickled"]
    with pytest.raises(TypeError, match=r"register_tracker\(tracker, NAME\), in each process"):
        pickle.dumps(Tracker())


@pytest.mark.parametrize("name", [None, "copied"])
def test_a_copy_of_a_tracker_is_another_that_shares_its_backends(name: str | None):
    tracker = Tracker({"memory": MemoryBackend()})
    if name:
        register_tracker(tracker, name)
    try:
        copied = copy(tracker)
        copied.emit = lambda *_, **__: None
        tracker.emit("sold")
        assert copied.get_backend("memory").names == ["sold"]
    finally:
        tracker_module._trackers.pop(name, None)
