"""The processor as a stage of the pipeline: any event, any thread, anything behind it."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.entry_points import install
from support.waiting import wait_until

from eventpub import EventQueue
from eventpub.pipeline import Backend
from eventpub.processing import Event, Proc, Processor, StopProcessing, requires, want
from eventpub.processing.errors import HandlerLoadError, HandlerRegisteredError, HandlerReturnError
from eventpub.schemas.event.ttypes import App
from eventpub.testing import take_messages


class Named(Event):
    def __init__(self, name: str):
        super().__init__()
        self._name = name

    @property
    def name(self) -> str:
        return self._name


# --- any event, anything behind it -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "event", [{"name": "sold"}, Named("sold"), App(name="sold")], ids=["dict", "Event", "struct"]
)
def test_mappings_events_and_structs_are_chosen_by_their_names(event: Any):
    processor: Processor[Any] = Processor()
    seen: list[Any] = []
    processor.register(want("sold")(lambda _, event: seen.append(event)), "sold")
    processor.register(want("seen")(lambda *_: 1 / 0), "seen")
    processor.process(event)
    assert seen == [event]


def test_what_has_no_name_is_called_unknown():
    processor: Processor[Any] = Processor()
    seen: list[Any] = []
    processor.register(want("unknown")(lambda _, event: seen.append(event)), "unknown")
    processor.process({"noun": "tea"})
    assert seen == [{"noun": "tea"}]


def test_a_processor_takes_events_by_send_and_so_stands_behind_another():
    behind: Processor[Any] = Processor()
    seen: list[Any] = []
    behind.register(lambda _, event: seen.append(event), "handler")
    assert isinstance(behind, Backend)
    front: Processor[Any] = Processor()
    front.register(lambda _, event: behind.send(event), "pass on")
    front.send({"name": "sold"})
    assert seen == [{"name": "sold"}]


def test_a_stop_behind_does_not_reach_the_front():
    behind: Processor[Any] = Processor()

    def stop(*_: object) -> None:
        raise StopProcessing

    behind.register(stop)
    front: Processor[Any] = Processor()
    called = []
    front.register(lambda _, event: behind.send(event), "pass on")
    front.register(lambda *_: called.append("later"), "later")
    front.send({})
    assert called == ["later"]


@pytest.mark.parametrize(("stop", "result", "names"), [((), None, [1, 3]), (("told",), "told", [1])])
def test_a_stop_in_a_filter_is_honoured_as_one_in_a_handler(stop: Any, result: Any, names: list[int]):
    def stops(event: Any) -> bool:
        if event["name"] == 2:
            raise StopProcessing(*stop)
        return True

    processor: Processor[Any] = Processor()
    called = []

    @want(stops)
    def handle(_: Any, event: Any) -> Any:
        called.append(event["name"])
        return [{"name": 2}, {"name": 3}] if event["name"] == 1 else None

    processor.register(handle)
    assert processor.process({"name": 1}) == result
    assert called == names


def test_a_handler_reaches_a_queue_of_the_kernel(posix_event_queue: EventQueue[Any]):
    processor: Processor[Any] = Processor()
    processor.register(lambda _, event: posix_event_queue.send(event), "enqueue")
    processor.process({"name": "sold"})
    assert [json.loads(message) for message in take_messages(posix_event_queue.name)] == [{"name": "sold"}]


def test_a_handler_may_process_events_itself():
    processor: Processor[Any] = Processor()
    calls: list[str] = []

    def nest(processor: Processor[Any], event: Any) -> None:
        calls.append(f"{event['name']} begins")
        if event["name"] == "outer":
            processor.process({"name": "inner"})
        calls.append(f"{event['name']} ends")

    processor.register(nest)
    processor.process({"name": "outer"})
    assert calls == ["outer begins", "inner begins", "inner ends", "outer ends"]


# --- what handlers return --------------------------------------------------------------------------------


@pytest.mark.parametrize("returned", [[{"name": "b"}], ({"name": "b"},), iter([{"name": "b"}])])
def test_any_iterable_of_events_will_do(returned: Any):
    processor: Processor[Any] = Processor()
    calls: list[str] = []

    def handler(_: object, event: Any) -> Any:
        calls.append(event["name"])
        return returned if event["name"] == "a" else []

    processor.register(handler)
    processor.process({"name": "a"})
    assert calls == ["a", "b"]


@pytest.mark.parametrize("returned", [{"name": "b"}, "b", b"b", Named("b"), App(name="b"), 3, True, False])
def test_anything_but_a_list_of_events_is_an_error_that_names_the_handler(returned: Any):
    processor: Processor[Any] = Processor()
    processor.register(lambda *_: returned, "handler")
    with pytest.raises(HandlerReturnError, match=r"'handler' returned .*; return a list of events, or None"):
        processor.process({"name": "a"})


def test_an_exception_reaches_the_caller_and_the_next_event_is_processed_as_ever():
    processor: Processor[Any] = Processor()
    calls: list[str] = []

    def handler(_: object, event: Any) -> Any:
        calls.append(event["name"])
        if event["name"] == "b":
            raise OSError("broken")
        return [{"name": "b"}, {"name": "c"}] if event["name"] == "a" else None

    processor.register(handler)
    with pytest.raises(OSError, match="broken"):
        processor.process({"name": "a"})
    processor.process({"name": "d"})
    assert calls == ["a", "b", "d"]


# --- registering -----------------------------------------------------------------------------------------


def test_a_handler_registered_by_a_handler_gets_the_next_event():
    processor: Processor[Any] = Processor()
    calls: list[str] = []

    @want("a")
    def first(processor: Processor[Any], _: Any) -> Any:
        processor.register(lambda _, event: calls.append(event["name"]), "late")
        return [{"name": "b"}]

    processor.register(first)
    processor.process({"name": "a"})
    assert calls == ["b"]


def test_threads_may_register_and_process_at_the_same_time():
    processor: Processor[Any] = Processor()
    done = threading.Event()
    counts = dict.fromkeys(range(4), 0)
    errors: list[BaseException] = []

    def process(number: int) -> None:
        try:
            while not done.is_set():
                event = {"name": f"ev{number}", "by": []}
                processor.process(event)
                assert event["by"] == sorted(event["by"])
                counts[number] += 1
        except Exception as exc:  # noqa: BLE001, whatever it is, the test shows it
            errors.append(exc)

    threads = [threading.Thread(target=process, args=(number,)) for number in counts]
    for thread in threads:
        thread.start()

    def note(number: int) -> Any:
        def handler(_: object, event: Any) -> None:
            event["by"].append(number)

        return handler if number % 3 else requires(f"h{number - 1}")(handler)

    def register(start: int) -> None:
        for number in range(start, start + 100):
            processor.register(want(*(f"ev{n}" for n in counts))(note(number)), f"h{number}")

    register(1)
    wait_until(lambda: errors or all(count > 10 for count in counts.values()), "each thread processes")
    done.set()
    for thread in threads:
        thread.join()
    assert errors == []
    event: dict[str, Any] = {"name": "ev0", "by": []}
    processor.process(event)
    assert event["by"] == list(range(1, 101))


@pytest.mark.usefixtures("frequent_switches")
def test_of_threads_that_register_at_the_same_time_none_loses_a_handler():
    processor: Processor[Any] = Processor()
    start = threading.Barrier(4)

    def register(prefix: str) -> None:
        start.wait()
        for number in range(250):
            processor.register(lambda _, event: event["by"].append(1), f"{prefix}{number}")

    threads = [threading.Thread(target=register, args=(prefix,)) for prefix in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    event: dict[str, Any] = {"by": []}
    processor.process(event)
    assert len(event["by"]) == 1000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("handler", "name"), "a handler is a function, not 'handler'"),
        ((partial(print),), r"register\(function, name=NAME\)"),
    ],
)
def test_what_cannot_be_a_handler_is_refused(arguments: Any, message: str):
    processor: Processor[Any] = Processor()
    with pytest.raises(TypeError, match=message):
        processor.register(*arguments)


# --- loading ---------------------------------------------------------------------------------------------


def test_a_group_that_nobody_offers_anything_in_is_empty():
    processor: Processor[Any] = Processor()
    processor.load_from("eventpub.tests.nobody")
    assert processor.process({}) is None


def test_loaded_handlers_are_registered_in_the_order_of_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    code = "".join(f"def {name}(_, event): event['by'].append('{name}')\n" for name in "abcd")
    install(tmp_path, "sorted_app", code, {"g": {name: f"sorted_app:{name}" for name in "dbca"}})
    monkeypatch.syspath_prepend(tmp_path)
    processor: Processor[Any] = Processor()
    processor.load_from("g")
    event: dict[str, Any] = {"by": []}
    processor.process(event)
    assert event["by"] == list("abcd")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("broken_app.run", "fails with ModuleNotFoundError: No module named 'broken_app.run'"),
        ("broken_app:absent", "fails with AttributeError"),
        ("broken_app:number", "broken_app:number is 3, not a function"),
    ],
)
def test_an_entry_point_that_gives_no_handler_is_named_and_nothing_of_its_group_is_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, reason: str
):
    install(
        tmp_path,
        "broken_app",
        "number = 3\ndef good(_, event): 1 / 0",
        {"g": {"a": "broken_app:good", "broken": value}},
    )
    monkeypatch.syspath_prepend(tmp_path)
    processor: Processor[Any] = Processor()
    with pytest.raises(HandlerLoadError, match="entry point 'broken' of group 'g'") as raised:
        processor.load_from("g")
    assert reason in raised.value.reason
    assert "MODULE:FUNCTION" in str(raised.value)
    assert processor.process({}) is None


def test_two_distributions_that_offer_a_handler_of_one_name_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("one_app", "two_app"):
        install(tmp_path, name, "def handle(_, event): 1 / 0", {"g": {"handle": f"{name}:handle"}})
    monkeypatch.syspath_prepend(tmp_path)
    processor: Processor[Any] = Processor()
    with pytest.raises(HandlerRegisteredError, match="'handle'"):
        processor.load_from("g")
    assert processor.process({}) is None


def test_a_name_that_is_taken_keeps_the_whole_group_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    code = "def one(_, event): 1 / 0\ndef two(_, event): pass"
    install(tmp_path, "taken_app", code, {"g": {"one": "taken_app:one", "two": "taken_app:two"}})
    monkeypatch.syspath_prepend(tmp_path)
    processor: Processor[Any] = Processor()
    processor.register(lambda *_: None, "two")
    with pytest.raises(HandlerRegisteredError, match="'two'"):
        processor.load_from("g")
    assert processor.process({}) is None


def test_the_module_costs_no_heavy_import():
    done = subprocess.run(
        [sys.executable, "-c", "import eventpub.processing, sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert not {"dataclasses", "importlib.metadata", "inspect", "asyncio"} & set(done.stdout.split())


# --- the event -------------------------------------------------------------------------------------------


class Data(Event):
    """Takes all attributes for data."""

    def __init__(self, **data: Any):
        super().__init__("context")
        for key, value in data.items():
            setattr(self, key, value)

    @property
    def name(self) -> str:
        return "data"

    def __setattr__(self, key: str, value: Any) -> None:
        self.__dict__.setdefault("data", {})[key] = value


def test_a_subclass_may_take_all_attributes_for_data():
    event = Data(noun="tea")
    event.proc.tests.found = 1
    assert vars(event) == {"data": {"noun": "tea"}}
    assert (event.ctxt, event.proc.tests.found) == ("context", 1)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda event: pickle.loads(pickle.dumps(event))])
def test_an_event_copies_and_pickles_with_what_handlers_left_on_it(again: Any):
    event = Named("sold")
    event.proc.tests.found = [1]
    other = again(event)
    other.proc.tests.found.append(2)
    assert (other.name, other.proc.tests.found, event.proc.tests.found) == ("sold", [1, 2], [1])


def test_proc_shows_what_is_on_it_and_has_no_namespaces_with_an_underscore():
    proc = Proc()
    proc.tests.found = 1
    assert repr(proc) == "Proc(tests=Namespace(found=1))"
    with pytest.raises(AttributeError, match="does not begin with an underscore"):
        _ = proc._private
    with pytest.raises(AttributeError, match="does not begin with an underscore"):
        proc.tests._private = 1
    with pytest.raises(AttributeError, match="does not begin with an underscore"):
        del proc.tests._private


def test_send_calls_a_process_that_a_subclass_has_of_its_own_and_returns_nothing():
    class Own(Processor[Any]):
        def process(self, event: Any) -> Any:
            seen.append(event)
            return False

    seen: list[Any] = []
    sent: Any = Own().send
    assert sent({"name": "n"}) is None
    assert seen == [{"name": "n"}]


def test_want_without_parentheses_is_refused_at_once():
    with pytest.raises(TypeError, match=r'called with the event alone, not .*handle.*: @want\("NAME"\)'):

        @want
        def handle(_processor: Any, _event: Any) -> None:
            """It is taken for a filter."""


@pytest.mark.parametrize("agrees", [lambda _: True, lambda _, _least=0: True, lambda *_: True, bool, {}.get])
def test_whatever_can_be_called_with_an_event_is_a_filter(agrees: Any):
    assert callable(want(agrees))
