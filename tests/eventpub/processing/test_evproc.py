"""What users of EvProc rely on, in the order in which its description tells it, a test for each statement."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.entry_points import install

from eventpub import processing
from eventpub.processing import Event, Processor, StopProcessing, required_by, requires, want


class AppEvent(Event):
    """An event as applications make them: the constructor is extended by what the event is about."""

    def __init__(self, name: str, resource: Any = None, ctxt: Any = None):
        super().__init__(ctxt)
        self._name = name
        self.resource = resource

    @property
    def name(self) -> str:
        return self._name


class Resource:
    def __init__(self, name: str):
        self.name = name


def recorder(calls: list[str], name: str):
    """A handler that notes that it was called, and for which event."""

    def handler(_processor: Processor[Any], event: Event) -> None:
        calls.append(f"{name} {event.name}")

    handler.__name__ = name
    return handler


# --- why use it ------------------------------------------------------------------------------------------


def test_a_handler_says_by_a_decorator_which_events_it_gets_and_not_by_being_registered_for_them():
    calls: list[str] = []
    processor: Processor[AppEvent] = Processor()
    processor.register(want("ev1")(recorder(calls, "handler")))
    processor.process(AppEvent("ev1"))
    processor.process(AppEvent("ev2"))
    assert calls == ["handler ev1"]


# --- defining events -------------------------------------------------------------------------------------


def test_event_is_abstract_and_a_subclass_must_have_a_name():
    class Nameless(Event):
        pass

    for kind in (Event, Nameless):
        with pytest.raises(TypeError, match=r"abstract method '?name"):
            kind()


def test_a_name_may_be_a_property_or_a_plain_attribute_of_the_class():
    class Sold(Event):
        name = "sold"

    assert Sold().name == "sold"
    assert AppEvent("ev1").name == "ev1"


def test_the_constructor_takes_a_context_which_is_none_by_default():
    context = object()
    assert AppEvent("ev1", ctxt=context).ctxt is context
    assert AppEvent("ev1").ctxt is None


def test_the_context_can_be_replaced():
    event = AppEvent("ev1", ctxt=1)
    event.ctxt = 2
    assert event.ctxt == 2


def test_the_constructor_may_be_extended():
    assert AppEvent("ev1", resource="r").resource == "r"


def test_attributes_of_proc_cannot_be_set_or_deleted_and_attributes_of_those_can():
    event = AppEvent("ev1")
    with pytest.raises(AttributeError, match=r"proc.tests is a namespace.*set attributes of it"):
        event.proc.tests = {}
    event.proc.tests.args = (1,)
    event.proc.tests.kwargs = {"a": 2}
    with pytest.raises(AttributeError, match=r"proc.tests is a namespace"):
        del event.proc.tests
    assert (event.proc.tests.args, event.proc.tests.kwargs) == ((1,), {"a": 2})
    del event.proc.tests.args
    assert not hasattr(event.proc.tests, "args")


def test_proc_itself_cannot_be_replaced():
    with pytest.raises(AttributeError):
        AppEvent("ev1").proc = {}


def test_reading_a_namespace_makes_it_and_reading_what_is_not_in_it_is_an_error():
    event = AppEvent("ev1")
    assert event.proc.tests is event.proc.tests
    assert getattr(event.proc.tests, "auxiliary", []) == []
    with pytest.raises(AttributeError):
        _ = event.proc.tests.auxiliary


def test_handlers_of_other_namespaces_and_other_events_do_not_meet():
    one, other = AppEvent("ev1"), AppEvent("ev1")
    one.proc.tests.args = 1
    one.proc.audit.args = 2
    assert (one.proc.tests.args, one.proc.audit.args) == (1, 2)
    assert not hasattr(other.proc.tests, "args")


# --- event handlers --------------------------------------------------------------------------------------


def test_a_handler_is_called_with_the_processor_and_the_event():
    calls = []
    processor: Processor[AppEvent] = Processor()
    processor.register(lambda *arguments: calls.append(arguments), name="handler")
    event = AppEvent("ev1")
    processor.process(event)
    assert calls == [(processor, event)]


def test_a_handler_is_named_as_the_function_unless_it_is_given_a_name():
    calls: list[str] = []
    processor: Processor[AppEvent] = Processor()
    processor.register(recorder(calls, "own"))
    processor.register(recorder(calls, "own"), name="given")
    processor.register(requires("own", "given")(recorder(calls, "last")))
    processor.process(AppEvent("ev1"))
    assert calls == ["own ev1", "own ev1", "last ev1"]


def test_names_of_handlers_are_unique():
    processor: Processor[AppEvent] = Processor()
    processor.register(recorder([], "handler"))
    with pytest.raises(processing.HandlerRegisteredError, match="'handler' is registered already") as raised:
        processor.register(recorder([], "handler"))
    assert raised.value.handler == "handler"
    processor.register(recorder([], "handler"), name="another")


def test_a_handler_without_a_want_gets_every_event():
    calls: list[str] = []
    processor: Processor[AppEvent] = Processor()
    processor.register(recorder(calls, "handler"))
    for name in ("ev1", "ev2"):
        processor.process(AppEvent(name))
    assert calls == ["handler ev1", "handler ev2"]


def test_a_handler_gets_the_events_of_the_names_it_wants():
    calls: list[str] = []
    processor: Processor[AppEvent] = Processor()
    processor.register(want("ev1", "ev2")(recorder(calls, "handler")))
    for name in ("ev1", "ev2", "ev3"):
        processor.process(AppEvent(name))
    assert calls == ["handler ev1", "handler ev2"]


def test_all_filters_of_a_want_must_let_an_event_through():
    calls: list[str] = []
    processor: Processor[AppEvent] = Processor()
    filters = (lambda event: event.resource > 1, lambda event: event.resource < 3)
    processor.register(want(*filters)(recorder(calls, "handler")))
    for number in (1, 2, 3):
        processor.process(AppEvent(f"ev{number}", number))
    assert calls == ["handler ev2"]


def test_names_and_filters_of_a_want_hold_together():
    calls: list[str] = []
    processor: Processor[AppEvent] = Processor()
    processor.register(want("ev1", "ev2", lambda event: event.resource)(recorder(calls, "handler")))
    for name, resource in (("ev1", True), ("ev2", False), ("ev3", True)):
        processor.process(AppEvent(name, resource))
    assert calls == ["handler ev1"]


def test_an_event_need_match_only_one_of_several_wants():
    calls: list[str] = []

    @want("ev1", "ev2")
    @want("ev3", lambda event: event.resource.name == "resource")
    def handler(_processor: Processor[AppEvent], event: AppEvent) -> None:
        calls.append(event.name)

    processor: Processor[AppEvent] = Processor()
    processor.register(handler)
    processor.process(AppEvent("ev1"))  # has no resource: filters are not asked about events of other names
    processor.process(AppEvent("ev2"))
    processor.process(AppEvent("ev3", Resource("other")))
    assert calls == ["ev1", "ev2"]
    processor.process(AppEvent("ev3", Resource("resource")))
    assert calls == ["ev1", "ev2", "ev3"]


def test_required_handlers_run_first_and_pass_on_what_they_found_by_proc():
    calls = []

    def prepare(_processor, event):
        calls.append("prepare")
        event.proc.tests.args = (1,)
        event.proc.tests.kwargs = {"a": 2}

    @requires("prepare")
    def run(_processor, event):
        calls.append("run")
        calls.append((event.proc.tests.args, event.proc.tests.kwargs, event.proc.tests.auxiliary))

    @required_by("run")
    @requires("prepare")
    def extend(_processor, event):
        calls.append("extend")
        event.proc.tests.auxiliary = [3]

    processor: Processor[AppEvent] = Processor()
    for handler in (run, extend, prepare):
        processor.register(handler)
    processor.process(AppEvent("ev1"))
    assert calls == ["prepare", "extend", "run", ((1,), {"a": 2}, [3])]


def test_requirements_go_by_the_names_handlers_are_registered_under():
    calls: list[str] = []
    processor: Processor[AppEvent] = Processor()
    processor.register(requires("first")(recorder(calls, "second")))
    processor.register(recorder(calls, "function"), name="first")
    processor.process(AppEvent("ev1"))
    assert calls == ["function ev1", "second ev1"]


def test_wants_of_a_handler_and_of_what_it_requires_must_be_compatible():
    processor: Processor[AppEvent] = Processor()
    processor.register(want("ev1")(recorder([], "first")))
    processor.register(want("ev1", "ev2")(requires("first")(recorder([], "second"))))
    with pytest.raises(
        processing.IncompatibleWantsError, match="'second' and 'first' are incompatible"
    ) as raised:
        processor.process(AppEvent("ev1"))
    assert (raised.value.handler, raised.value.required, raised.value.event_name) == ("second", "first", "ev2")


def test_events_that_handlers_return_are_processed_in_order_after_those_that_came_up_before_them():
    """Breadth first: all that one event leads to comes before what those lead to."""
    calls: list[str] = []
    tree = {"a": "bc", "b": "de", "c": "f"}

    def grow(_processor, event):
        calls.append(event.name)
        return [AppEvent(child) for child in tree.get(event.name, "")]

    processor: Processor[AppEvent] = Processor()
    processor.register(grow)
    processor.process(AppEvent("a"))
    assert calls == ["a", "b", "c", "d", "e", "f"]


def test_events_of_several_handlers_are_processed_in_the_order_of_the_handlers():
    calls: list[str] = []

    def returning(name: str):
        def handler(_processor, event):
            calls.append(f"{name} {event.name}")
            return [AppEvent(name)] if event.name == "a" else None

        return handler

    processor: Processor[AppEvent] = Processor()
    for name in ("x", "y"):
        processor.register(returning(name), name=name)
    processor.process(AppEvent("a"))
    assert calls == ["x a", "y a", "x x", "y x", "x y", "y y"]


# --- the processor ---------------------------------------------------------------------------------------


def test_handlers_of_several_applications_are_loaded_by_the_group_of_their_entry_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    install(
        tmp_path,
        "first_app",
        """
        from eventpub.processing import requires

        def prepare(processor, event):
            event.proc.tests.log = ["prepare"]

        @requires("test_prepare")
        def run(processor, event):
            event.proc.tests.log.append("run")
        """,
        {"app.handlers": {"test_prepare": "first_app:prepare", "test_run": "first_app:run"}},
    )
    install(
        tmp_path,
        "other_app",
        """
        from eventpub.processing import required_by, requires

        @required_by("test_run")
        @requires("test_prepare")
        def extend(processor, event):
            event.proc.tests.log.append("auxiliary")
        """,
        {"app.handlers": {"test_auxiliary": "other_app:extend"}},
    )
    monkeypatch.syspath_prepend(tmp_path)
    processor: Processor[AppEvent] = Processor()
    processor.load_from("app.handlers")
    event = AppEvent("ev1")
    processor.process(event)
    assert event.proc.tests.log == ["prepare", "auxiliary", "run"]
    with pytest.raises(processing.HandlerRegisteredError, match="'test_auxiliary'"):
        processor.load_from("app.handlers")


def test_process_may_be_called_any_number_of_times():
    calls: list[str] = []
    processor: Processor[AppEvent] = Processor()
    processor.register(recorder(calls, "handler"))
    for number in range(100):
        processor.process(AppEvent(f"ev{number}"))
    assert calls == [f"handler ev{number}" for number in range(100)]


def test_process_returns_none_unless_a_handler_stops_with_a_value():
    processor: Processor[AppEvent] = Processor()
    processor.register(want("ev1")(lambda *_: [AppEvent("ev2")]), name="handler")
    assert processor.process(AppEvent("ev1")) is None


# --- stopping --------------------------------------------------------------------------------------------


def stopping(calls: list[str], signal: BaseException | type[BaseException]) -> Processor[AppEvent]:
    """A processor whose second handler stops event `first`, after its first handler has returned another."""

    def before(_processor, event):
        calls.append(f"before {event.name}")
        return [AppEvent("second")] if event.name == "first" else None

    @want("first")
    @requires("before")
    def stop(_processor, event):
        calls.append(f"stop {event.name}")
        raise signal

    def after(_processor, event):
        calls.append(f"after {event.name}")

    processor: Processor[AppEvent] = Processor()
    for handler in (before, stop, after):
        processor.register(handler)
    return processor


@pytest.mark.parametrize("signal", [StopProcessing, StopProcessing()])
def test_stopping_without_a_value_ends_this_event_and_those_returned_before_are_processed(signal: Any):
    calls: list[str] = []
    assert stopping(calls, signal).process(AppEvent("first")) is None
    assert calls == ["before first", "stop first", "before second", "after second"]


@pytest.mark.parametrize("value", ["value", 0, None])
def test_stopping_with_a_value_even_none_returns_it_at_once_and_drops_what_waits(value: Any):
    for signal in (StopProcessing(value), StopProcessing(retval=value)):
        calls: list[str] = []
        assert stopping(calls, signal).process(AppEvent("first")) == value
        assert calls == ["before first", "stop first"]


def test_after_a_stop_the_next_event_is_processed_as_ever():
    calls: list[str] = []
    processor = stopping(calls, StopProcessing(1))
    processor.process(AppEvent("first"))
    assert processor.process(AppEvent("third")) is None
    assert calls[2:] == ["before third", "after third"]
