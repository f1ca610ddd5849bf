"""Typed events: a class for all events of a name, checked where they are emitted."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal, Optional, Protocol, TypeVar, Union

import pytest

from eventpub import EventQueue
from eventpub.testing import capture_events
from eventpub.tracking import EventTypeError, MemoryBackend, Tracker, event
from eventpub.tracking.type_check import make_check

T = TypeVar("T")


class Name(enum.Enum):
    SOLD = "shop.tea.sold"


@event("shop.tea.buy")
class TeaBought:
    kind: str
    price: Decimal
    count: int = 1


@event(Name.SOLD)
@dataclasses.dataclass
class TeaSold:
    tags: list[str] = dataclasses.field(default_factory=list)


@event("shop.tea.returned")
class TeaReturned(TeaBought):
    reason: str = "none"


@pytest.fixture
def memory() -> MemoryBackend:
    return MemoryBackend()


@pytest.fixture
def tracker(memory: MemoryBackend) -> Tracker:
    return Tracker({"memory": memory})


def test_a_typed_event_is_its_name_and_its_fields(tracker: Tracker, memory: MemoryBackend):
    with tracker.context("request", {"path": "/cart"}):
        tracker.emit(TeaBought("oolong", Decimal("4.50")))
    tracker.emit(TeaSold(["a"]))
    tracker.emit(TeaReturned("assam", Decimal(1), reason="cold"))
    assert memory.names == ["shop.tea.buy", "shop.tea.sold", "shop.tea.returned"]
    first, second, third = memory.events
    assert first["data"] == {"kind": "oolong", "price": Decimal("4.50"), "count": 1}
    assert (first["context"], second["data"]) == ({"path": "/cart"}, {"tags": ["a"]})
    assert third["data"] == {"kind": "assam", "price": Decimal(1), "count": 1, "reason": "cold"}
    assert not tracker.failures


def test_an_event_is_a_frozen_dataclass_with_its_order_and_defaults():
    assert TeaBought("a", Decimal(1)) == TeaBought(kind="a", price=Decimal(1), count=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        TeaBought("a", Decimal(1)).kind = "b"  # type: ignore[misc]
    with pytest.raises(TypeError, match="price"):
        TeaBought("a")  # type: ignore[call-arg]
    TeaSold().tags.append("a")


def test_a_wrong_field_is_counted_and_told_once_and_the_event_goes_on(
    tracker: Tracker, memory: MemoryBackend, caplog: pytest.LogCaptureFixture
):
    wrong: Any = "4111 1111"
    for _ in range(3):
        tracker.emit(TeaBought(kind="oolong", price=wrong))
    assert len(memory.events) == 3
    assert tracker.failures == {"type shop.tea.buy": 3}
    (line,) = [line for line in caplog.messages if "TeaBought.price" in line]
    assert "TeaBought.price is of type str; expected Decimal" in line
    assert "4111" not in caplog.text


def test_a_wrong_field_is_an_error_in_tests():
    wrong: Any = 7
    with capture_events() as captured:
        tracker = Tracker({"queue": EventQueue("typed")})
        with pytest.raises(EventTypeError, match=r"TeaBought\.kind is of type int; expected str"):
            tracker.emit(TeaBought(wrong, Decimal(1)))
        tracker.emit(TeaBought("oolong", Decimal(1)))
    assert captured.named(TeaBought).one()["data"]["kind"] == "oolong"


def test_what_is_no_typed_event_fails_nobody(tracker: Tracker, memory: MemoryBackend):
    @dataclasses.dataclass
    class Plain:
        a: int

    unknown: Any = Plain(1)
    tracker.emit(unknown)
    assert (memory.events, sum(tracker.failures.values())) == ([], 1)


@pytest.mark.parametrize("name", ["", TeaBought])
def test_a_class_without_a_name_is_refused(name: Any):
    with pytest.raises(ValueError, match=r'write @event\("shop.tea.buy"\)'):
        event(name)


def test_an_annotation_that_cannot_be_resolved_is_not_checked(tracker: Tracker, memory: MemoryBackend):
    @event("odd")
    class Odd:
        a: NotThere  # type: ignore[name-defined]  # noqa: F821

    tracker.emit(Odd(1))
    assert (memory.names, dict(tracker.failures)) == (["odd"], {})


# --- annotations -----------------------------------------------------------------------------------------


class Speaks(Protocol):
    def speak(self) -> str: ...


@pytest.mark.parametrize(
    ("hint", "fitting", "others"),
    [
        (Any, [1, None, "a"], []),
        (str, ["a"], [1, None, b"a"]),
        (int, [1, True], ["1", 1.5]),
        (float, [1.5, 1], ["1", None]),
        (None, [None], [0]),
        (Optional[str], ["a", None], [1]),  # noqa: UP045, as users write
        (Union[int, str], [1, "a"], [1.5]),  # noqa: UP007, likewise
        (int | None, [1, None], ["a"]),
        (Literal["a", 1], ["a", 1], ["b", True]),
        (Annotated[int, "unit"], [1], ["a"]),
        (list[str], [[], ["a"]], ["ab", ("a",), [1], None]),
        (set[int], [{1}], [[1], {"a"}]),
        (Sequence[str], [["a"], ("a",)], ["a", [1]]),
        (tuple[int, str], [(1, "a")], [(1,), (1, 1), [1, "a"]]),
        (tuple[int, ...], [(), (1, 2)], [(1, "a")]),
        (dict[str, int], [{}, {"a": 1}], [{1: 1}, {"a": "b"}, []]),
        (Mapping[str, list[int]], [{"a": [1]}], [{"a": ["b"]}]),
        (Iterator[int], [iter([1])], [[1]]),
        (Decimal, [Decimal(1)], [1, "1"]),
        (Name, [Name.SOLD], ["shop.tea.sold"]),
        (Speaks, [1], []),
        (T, [1, "a"], []),
        (type[int], [int], [1]),
        (list, [[1]], [(1,)]),
    ],
)
def test_a_value_is_checked_as_far_as_its_annotation_tells(hint: Any, fitting: list[Any], others: list[Any]):
    check = make_check(hint)
    assert [value for value in fitting if not check(value)] == []
    assert [value for value in others if check(value)] == []


def test_an_event_with_an_empty_name_is_counted_and_an_error_in_tests(tracker: Tracker, memory: MemoryBackend):
    tracker.emit("")
    tracker.emit()
    assert (memory.names, dict(tracker.failures)) == (["unknown", "unknown"], {"nameless": 1})
    with capture_events(), pytest.raises(EventTypeError, match="name is an empty text"):
        tracker.emit("")
