"""What users write, as mypy --strict sees it: no error but those that a `type: ignore` announces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from typing_extensions import assert_type

from eventpub import (
    EventQueue,
    EventQueueFullError,
    EventTooLargeError,
    serialize_json_event,
    serialize_v2_event,
)
from eventpub.pipeline import Backend
from eventpub.processing import (
    Event,
    IncompatibleWantsError,
    Processor,
    RequirementLoopError,
    StopProcessing,
    required_by,
    requires,
    want,
)
from eventpub.schemas.event import ttypes
from eventpub.testing import MemoryQueue, capture_events, posix_queue, take_messages

# --- putting events --------------------------------------------------------------------------------------


@dataclass
class Context:
    events_v2: EventQueue[ttypes.Event]


def buy(context: Context, tea: str) -> str:
    event = ttypes.Event(source="shop", action="buy", noun=tea, user=ttypes.User(id="u", roles=["employee"]))
    event.properties = {"size": "small"}
    event.client_timestamp = "now"  # type: ignore[assignment]
    event.sauce = "shop"  # type: ignore[attr-defined]
    ttypes.Event(sauce="shop")  # type: ignore[call-arg]
    try:
        context.events_v2.put(event, timeout=0.1)
    except EventTooLargeError as error:
        assert_type(error.limit_bytes, int)
    except EventQueueFullError as error:
        return error.queue_name
    context.events_v2.put("tea")  # type: ignore[arg-type]
    assert_type(context.events_v2.counts.accepted, int)
    assert_type(event.user, ttypes.User | None)
    return event.noun


def serialize_text(event: str) -> bytes:
    return event.encode()


def start() -> Context:
    texts = EventQueue("texts", serialize_text, max_messages=10)
    assert_type(texts, EventQueue[str])
    texts.put(b"bytes")  # type: ignore[arg-type]
    with EventQueue[dict[str, object]]("v2j", serialize_json_event) as queue:
        queue.put({"noun": "tea"})
    return Context(EventQueue("v2", serialize_v2_event))


# --- handling them in the process ------------------------------------------------------------------------


class AppEvent(Event):
    def __init__(self, name: str, amount: int, ctxt: object = None) -> None:
        super().__init__(ctxt)
        self._name = name
        self.amount = amount

    @property
    def name(self) -> str:
        return self._name


@want("sold", "returned")
@want("seen", lambda event: event.amount > 1)
def check(_: Processor[AppEvent], event: AppEvent) -> list[AppEvent] | None:
    event.proc.billing.rate = 0.19
    if event.amount < 0:
        raise StopProcessing
    return [AppEvent("checked", event.amount)]


@requires("check")
@required_by("last")
def bill(_: Processor[AppEvent], event: AppEvent) -> None:
    assert_type(check(Processor(), event), list[AppEvent] | None)  # a decorated function keeps its type


def of_any_event(_: Processor[Any], event: Event) -> Iterator[AppEvent]:
    yield AppEvent(event.name, 1)


def wrong(_: Processor[AppEvent], event: AppEvent) -> int:
    return event.amount


def handle() -> object:
    processor: Processor[AppEvent] = Processor()
    processor.register(check)
    processor.register(bill, name="billing")
    processor.register(of_any_event)
    processor.register(wrong)  # type: ignore[arg-type]
    processor.load_from("shop.handlers")
    try:
        processor.check()
    except RequirementLoopError as error:
        assert_type(error.loop, tuple[str, ...])
    except IncompatibleWantsError as error:
        assert_type(error.event_name, str | None)
    processor.process("sold")  # type: ignore[arg-type]
    Event()  # type: ignore[abstract]
    want(3)  # type: ignore[arg-type]
    requires(check)  # type: ignore[arg-type]
    return processor.process(AppEvent("sold", 2))


def stages() -> list[Backend]:
    processor: Processor[AppEvent] = Processor()
    return [processor, EventQueue("v2j", serialize_json_event), object()]  # type: ignore[list-item]


# --- testing ---------------------------------------------------------------------------------------------


def test_buy() -> None:
    memory = MemoryQueue("texts", serialize_text)
    assert_type(memory, MemoryQueue[str])
    assert_type(memory.events, list[str])
    memory.full = True
    queue: EventQueue[str] = memory
    queue.put("tea")
    assert_type(memory.messages, list[bytes])
    with capture_events() as captured:
        buy(start(), "tea")
    assert_type([put.queue_name for put in captured.puts], list[str])
    with posix_queue(max_messages=5) as events:
        events.put({"noun": "tea"})
        assert_type(take_messages(events.name), list[bytes])


def test_with_fixtures(event_queue: MemoryQueue[ttypes.Event]) -> None:
    event_queue.put({"noun": "tea"})  # type: ignore[arg-type]
