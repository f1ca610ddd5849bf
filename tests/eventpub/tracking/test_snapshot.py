"""Copies of events: `eventpub/tracking/snapshot.py`."""

from __future__ import annotations

import copy
import datetime as dt
import decimal
import threading
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from eventpub import Event
from eventpub.processing import Event as HandledEvent
from eventpub.schemas.event.ttypes import Event as ThriftEvent
from eventpub.schemas.event.ttypes import User
from eventpub.tracking import MemoryBackend, RoutingBackend, Tracker, snapshot

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.datetimes(timezones=st.just(dt.timezone.utc))
    | st.dates()
    | st.decimals(allow_nan=False)
    | st.uuids()
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text(max_size=3), inner, max_size=4),
        st.tuples(inner, inner),
        st.sets(st.integers(), max_size=3),
        st.lists(inner, max_size=3).map(deque),
        st.dictionaries(st.text(max_size=3), inner, max_size=3).map(OrderedDict),
        st.lists(inner, max_size=2).map(lambda items: ThriftEvent(user=User(id=items))),
    ),
    max_leaves=12,
)
events = st.dictionaries(st.sampled_from(["name", "data", "context", "more"]), values)


def changeable_parts(value: Any) -> list[Any]:
    """Every object in a value that somebody could change, itself included."""
    if isinstance(value, (dict, list, tuple, set, deque)):
        inner = value.values() if isinstance(value, dict) else value
        own = [] if isinstance(value, tuple) else [value]
        return own + [part for item in inner for part in changeable_parts(item)]
    if isinstance(value, (ThriftEvent, User)):
        return [value, *changeable_parts({name: getattr(value, name) for name in value.__slots__})[1:]]
    return []


def scribble(part: Any) -> None:
    """Change an object so that it is no longer equal to what it was."""
    if isinstance(part, dict):
        part["scribbled"] = object()
    elif isinstance(part, set):
        part.add(object())
    elif isinstance(part, (list, deque)):
        part.append(object())
    else:
        part.id = object()


@given(events)
def test_a_snapshot_is_equal_of_the_same_types_and_shares_nothing_that_can_be_changed(event: Any):
    copied = snapshot(event)
    assert copied == copy.deepcopy(event)
    parts, copied_parts = changeable_parts(event), changeable_parts(copied)
    assert [type(part) for part in copied_parts] == [type(part) for part in parts]
    assert not {id(part) for part in copied_parts} & {id(part) for part in parts}


@st.composite
def processors(draw: DrawFn) -> Callable[[Any], Any]:
    """A processor that changes any part of an event, returns it, another or nothing, or raises."""
    where, what = (
        draw(st.integers(min_value=0)),
        draw(st.sampled_from(["itself", "another", "nothing", "error"])),
    )

    def process(event: Any) -> Any:
        parts = changeable_parts(event)
        if parts:
            scribble(parts[where % len(parts)])
        if what == "error":
            raise LookupError
        return {"itself": event, "another": {"name": "another", "of": event}, "nothing": None}[what]

    return process


@given(
    data=events, ctx=events, chain=st.lists(processors(), max_size=3), inner=st.lists(processors(), max_size=2)
)
def test_whatever_processors_and_backends_do_the_callers_data_and_contexts_stay_as_they_were(
    data: Any, ctx: Any, chain: list[Any], inner: list[Any]
):
    class Scribbler:
        def send(self, event: Any) -> None:
            for part in changeable_parts(event):
                scribble(part)

    before = copy.deepcopy((data, ctx))
    branch = RoutingBackend({"s": Scribbler()}, inner)
    tracker = Tracker({"1": branch, "2": Scribbler(), "3": branch}, processors=chain)
    with tracker.context("c", ctx):
        tracker.emit("n", data)
    assert (data, ctx) == before


@pytest.mark.parametrize(
    "value", [dt.timedelta(1), dt.timezone.utc, decimal.Decimal(1), uuid.uuid4(), "x", b"x", 1j, range(3)]
)
def test_what_cannot_be_changed_is_not_copied(value: Any):
    assert snapshot({"value": value})["value"] is value


def test_what_refuses_to_be_copied_goes_along_as_it_is_and_the_rest_is_copied():
    lock, items = threading.Lock(), [1]
    copied = snapshot({"lock": lock, "items": items})
    assert copied["lock"] is lock
    assert copied["items"] is not items


class Order(HandledEvent):
    name = "order"

    def __init__(self, lock: Any, items: list[int]) -> None:
        super().__init__()
        self.lock = lock
        self.items = items


class SlottedOrder(HandledEvent):
    __slots__ = ("empty", "items", "lock")
    name = "order"

    def __init__(self, lock: Any, items: list[int]) -> None:
        super().__init__()
        self.lock = lock
        self.items = items


class HalfSlottedOrder(HandledEvent):
    __slots__ = ("__dict__", "items")
    name = "order"

    def __init__(self, lock: Any, items: list[int]) -> None:
        super().__init__()
        self.lock = lock
        self.items = items


@dataclass(frozen=True)
class FrozenOrder(HandledEvent):
    lock: Any
    items: list[int] = field(default_factory=list)
    name = "order"

    def __post_init__(self) -> None:
        super().__init__()


@pytest.mark.parametrize(
    "make",
    [
        lambda lock, items: Event("order", lock=lock, items=items),
        lambda lock, items: OrderedDict(name="order", lock=lock, items=items),
        lambda lock, items: OrderedDict(name="order", inner=[{"locks": (lock, threading.Lock())}], items=items),
        lambda lock, items: SimpleNamespace(name="order", lock=lock, items=items),
        Order,
        SlottedOrder,
        HalfSlottedOrder,
        FrozenOrder,
    ],
)
@pytest.mark.parametrize("lock", [threading.Lock(), None], ids=["with a lock", "without"])
def test_whatever_an_event_is_only_the_value_that_refuses_is_shared(make: Callable[..., Any], lock: Any):
    def items_of(event: Any) -> list[int]:
        return event["items"] if isinstance(event, dict) else event.items

    items = [1]
    event = make(lock, items)
    memory = MemoryBackend()
    RoutingBackend({"memory": memory}, [lambda event: items_of(event).append(2)]).send(event)
    items.append(3)
    (kept,) = memory.events
    assert type(kept) is type(event)
    assert (items_of(event), items_of(kept)) == ([1, 3], [1, 2])
    assert getattr(kept, "lock", lock) is lock
    assert copy.copy(event) is not event


def test_a_value_that_makes_another_lock_whenever_it_is_copied_costs_one_attempt():
    class Locked:
        copies = 0

        def __getstate__(self) -> dict[str, Any]:
            Locked.copies += 1
            return {"lock": threading.Lock(), "items": items}

    items = [1]
    copied = snapshot(OrderedDict(locked=Locked()))
    assert Locked.copies <= 2
    assert copied["locked"].items == items
    assert copied["locked"].items is not items


def test_a_deep_event_with_a_lock_at_its_bottom_is_copied_in_time_that_grows_with_its_size_only():
    class Counted:
        copies = 0

        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __reduce_ex__(self, protocol: Any) -> Any:
            Counted.copies += 1
            return super().__reduce_ex__(protocol)

    event: Any = threading.Lock()
    for _ in range(50):
        event = Counted(event)
    snapshot(event)
    assert Counted.copies == 100


def test_a_view_that_cannot_be_changed_is_copied_for_what_it_holds():
    items = [1]
    copied = snapshot(MappingProxyType({"items": items}))
    items.append(2)
    assert copied == {"items": [1]}
    assert type(copied) is MappingProxyType


def test_an_event_for_handlers_is_copied_with_what_they_left_on_it_and_the_very_context_it_came_from():
    class Order(HandledEvent):
        name = "order"

        def __init__(self, ctxt: Any) -> None:
            super().__init__(ctxt)
            self.lines = [1]

    event = Order(threading.Lock())
    event.proc.billing.rates = [0.19]
    copied = snapshot(event)
    assert type(copied) is Order
    assert (copied.name, copied.lines, copied.proc.billing.rates) == ("order", [1], [0.19])
    assert copied.ctxt is event.ctxt
    copied.lines.append(2)
    copied.proc.billing.rates.append(0.07)
    copied.proc.audit.done = True
    assert (event.lines, event.proc.billing.rates, vars(event.proc).keys()) == ([1], [0.19], {"billing"})


def test_an_event_that_holds_itself_is_copied():
    event: dict[str, Any] = {"name": "n"}
    event["self"] = event
    copied = snapshot(event)
    assert copied is not event
    assert copied["self"] is copied


def test_a_value_decides_by_itself_how_it_is_copied():
    class Own(dict):
        def __deepcopy__(self, memo: Any) -> str:
            return "its own copy"

    assert snapshot({"own": Own()}) == {"own": "its own copy"}


def test_an_event_that_another_thread_changes_meanwhile_is_copied():
    event = {str(n): [n] for n in range(50)}
    stop = threading.Event()

    def change() -> None:
        n = 0
        while not stop.is_set():
            event[f"new {n}"] = [n]
            del event[f"new {n}"]
            n += 1

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(2000):
            assert len(snapshot(event)) in (50, 51)
    finally:
        stop.set()
        thread.join()
