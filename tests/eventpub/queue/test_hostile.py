"""`put` raises nothing but EventError, whatever event, serializer, its exceptions and the timeout do."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventpub.errors import EventError, EventQueueFullError, EventSerializationError
from eventpub.queue.event_queue import EventQueue
from eventpub.queue.message_queue import remove_queue
from eventpub.serialization.serialize import serialize_event, serialize_json_event, serialize_v2_event


def fail(error: BaseException) -> Callable[..., Any]:
    """Return a method that raises."""

    def method(*_arguments: object) -> Any:
        raise error

    return method


ERRORS = [KeyError("k"), IndexError(), OverflowError("o"), RuntimeError("r"), RecursionError(), MemoryError()]
LOOKS = ["__str__", "__repr__", "__format__", "__getattribute__", "__bool__", "__len__", "__eq__", "__hash__"]
KINDS: list[tuple[type, tuple[object, ...]]] = [
    (object, ()),
    (dict, ({"a": 1},)),
    (list, ([1],)),
    (str, ("text",)),
    (bytes, (b"bytes",)),
    (int, (1,)),
    (float, (1.0,)),
    (Decimal, ("1.5",)),
    (Exception, ("e",)),
]


@st.composite
def hostile_classes(draw: st.DrawFn, base: type = object) -> type:
    """A class of which some methods, and some of its metaclass, raise."""

    def pick() -> dict[str, Any]:
        return {name: fail(draw(st.sampled_from(ERRORS))) for name in draw(st.sets(st.sampled_from(LOOKS)))}

    meta_methods = {name: method for name, method in pick().items() if name not in ("__eq__", "__hash__")}
    if draw(st.booleans()):
        meta_methods["__name__"] = property(fail(draw(st.sampled_from(ERRORS))))
    methods = pick()
    if draw(st.booleans()):
        methods["__class__"] = property(fail(draw(st.sampled_from(ERRORS))))
    meta = type("Meta", (type,), meta_methods)
    return type.__call__(meta, "Hostile", (base,), {"__hash__": object.__hash__} | methods)


@st.composite
def hostile_values(draw: st.DrawFn) -> Any:
    base, arguments = draw(st.sampled_from(KINDS))
    return type.__call__(draw(hostile_classes(base)), *arguments)


EVENTS = st.recursive(
    hostile_values(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def make() -> Iterator[Callable[..., EventQueue[Any]]]:
    """Queues of one name, each with a serializer of its own."""
    name = f"hostile{os.getpid()}"
    opened: list[EventQueue[Any]] = []

    def open_queue(serializer: Callable[[Any], Any] | None) -> EventQueue[Any]:
        queue = EventQueue(name, serializer, max_messages=1, max_message_size=512)
        opened.append(queue)
        return queue

    yield open_queue
    for queue in opened:
        queue.close()
    remove_queue(name)


def put(queue: EventQueue[Any], event: object, timeout: Any = 0) -> None:
    before = queue.counts
    try:
        queue.put(event, timeout)
    except EventError as error:
        assert str(error)  # noqa: PT017, it has to be readable as well
    finally:
        queue._queue.receive()
        assert sum(queue.counts) == sum(before) + 1, "each is counted once"


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(event=EVENTS)
@pytest.mark.parametrize("serializer", [serialize_event, serialize_json_event, serialize_v2_event])
def test_hostile_events_raise_nothing_but_event_errors(make: Any, serializer: Any, event: Any):
    queue = make(serializer)
    put(queue, event)
    queue.close()


@settings(max_examples=50)
@given(error=hostile_classes(Exception), returned=hostile_values())
def test_hostile_serializers_raise_nothing_but_event_errors(make: Any, error: Any, returned: Any):
    for serializer in (fail(type.__call__(error)), lambda _: returned):
        queue = make(serializer)
        put(queue, {})
        queue.close()


@pytest.mark.parametrize(
    "timeout",
    [10**400, float("inf"), 1e308, 2**1024, True],
    ids=["10**400", "inf", "1e308", "2**1024", "True"],
)
def test_a_timeout_that_no_clock_can_hold_is_an_endless_one(make: Any, timeout: Any):
    queue = make(bytes)
    queue.put(b"fills it")
    taker = threading.Timer(0.05, queue._queue.receive)
    taker.start()
    queue.put(b"waits", timeout)
    taker.join()
    assert queue._queue.receive() == b"waits"


class Odd(float):
    """A number that does not let itself be looked at."""

    __ge__ = __gt__ = __float__ = __add__ = __radd__ = __repr__ = fail(KeyError("odd"))


class OddInt(int):
    __ge__ = __gt__ = __float__ = __add__ = __radd__ = __repr__ = __index__ = fail(KeyError("odd"))


@pytest.mark.parametrize("kind", [Odd, OddInt])
def test_a_hostile_number_is_taken_for_the_number_it_is(make: Any, kind: type):
    queue = make(bytes)
    queue.put(b"fills it")
    with pytest.raises(EventQueueFullError):
        queue.put(b"x", kind(0))
    with pytest.raises(ValueError, match="timeout is <Odd"):
        queue.put(b"x", kind(-1))
    queue._queue.receive()


class Liar:
    """Says that it is a number, and is none."""

    @property
    def __class__(self) -> type:  # type: ignore[override]
        return float


def repr_type(value: object) -> str:
    return type(value).__name__


@pytest.mark.parametrize("timeout", [Liar(), -(10**400), Decimal(1), [], object()], ids=repr_type)
def test_what_is_no_number_of_seconds_is_a_value_error(make: Any, timeout: Any):
    with pytest.raises(ValueError, match=r"timeout is .*: give seconds"):
        make(bytes).put(b"x", timeout)


def test_an_exception_without_readable_text_is_named_by_its_type(make: Any):
    class Broken(Exception):  # noqa: N818
        __str__ = fail(IndexError("list index out of range"))

    with pytest.raises(EventSerializationError, match="Broken: its text cannot be read"):
        make(fail(Broken())).put({})


def test_an_event_with_a_hostile_metaclass_is_named_by_its_type(make: Any):
    class Meta(type):
        __getattribute__ = fail(KeyError("meta"))

    with pytest.raises(EventSerializationError, match=r"of type Event: KeyError: 'meta'|<Event>"):
        make(None).put(type.__call__(type.__call__(Meta, "Event", (), {})))


def test_a_text_that_lies_about_itself_is_sent_as_it_is(make: Any):
    class Text(str):
        __slots__ = ()
        encode = __str__ = __len__ = fail(RuntimeError())  # type: ignore[assignment]

    queue = make(lambda _: Text("text"))
    queue.put({})
    assert queue._queue.receive() == b"text"


@pytest.mark.parametrize("broken", ["handler", "filter"])
def test_logging_that_fails_makes_no_put_fail(queue_name: str, broken: str):
    handler = logging.Handler()
    if broken == "handler":
        handler.emit = fail(ZeroDivisionError())  # type: ignore[method-assign]
    else:
        handler.addFilter(fail(ZeroDivisionError()))
    logging.getLogger("eventpub").addHandler(handler)
    try:
        metrics = fail(OSError())
        with EventQueue(queue_name, bytes, max_messages=2, max_message_size=128, metrics=metrics) as queue:
            queue.put(b"before")
            remove_queue(queue_name)
            queue._look_at = 0
            queue.put(b"after")
            with pytest.raises(EventQueueFullError):
                queue.put(b"too many")
            assert [queue._queue.receive(), queue._queue.receive()] == [b"before", b"after"]
    finally:
        logging.getLogger("eventpub").removeHandler(handler)
