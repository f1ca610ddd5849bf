"""Events with a class of their own: their name, their fields, and the type of each field.

>>> from eventpub.tracking import event
>>> @event("shop.tea.buy")
... class TeaBought:
...     kind: str
...     price: float
>>> TeaBought("oolong", 4.5)
TeaBought(kind='oolong', price=4.5)

A type checker knows the class as a dataclass, so it finds a field that is missing or wrong where the event is
made. What it cannot see is checked when the event is emitted: a field of another type is counted and said in
the log, and the event goes on; in tests it is an error.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, TypeVar, get_args, get_type_hints

from eventpub.pipeline import UNKNOWN_NAME, text_of
from eventpub.serialization.unwritable import is_strict, type_name

from .errors import EventTypeError, FilterError
from .type_check import Check, make_check

if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import Enum

    from typing_extensions import dataclass_transform

    from .failures import Failures
else:

    def dataclass_transform(**_options: Any) -> Any:
        """Stand in for typing's, which Python 3.10 does not have, and which does nothing."""
        return lambda decorator: decorator


T = TypeVar("T")

_NAME = "__event_name__"
_MOST_SAID = 1000

_said: set[tuple[type, str, str]] = set()


class TypedEvent(Protocol):
    """An instance of a class that `event` has decorated."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


@dataclass_transform(frozen_default=True)
def event(name: str | Enum) -> Callable[[type[T]], type[T]]:
    """Make a class the form of all events of a name: a frozen dataclass, unless it is a dataclass already.

    Args:
        name: of the events.

    Raises:
        FilterError: (a ValueError) it is not a name; write `@event("shop.tea.buy")`.
    """
    text = "" if isinstance(name, type) else text_of(name)
    if not text:
        raise FilterError("name", repr(name), 'is not a name; write @event("shop.tea.buy")')

    def decorate(cls: type[T]) -> type[T]:
        made = cls if "__dataclass_fields__" in vars(cls) else dataclasses.dataclass(frozen=True)(cls)
        setattr(made, _NAME, text)
        return made

    return decorate


def event_name(cls: Any) -> str | None:
    """Return the name of the events of a class, None if it is not a typed event's."""
    found = getattr(cls, _NAME, None)
    return found if isinstance(found, str) and isinstance(cls, type) else None


class _Field(NamedTuple):
    name: str
    fits: Check
    expected: str


def read_typed(typed: Any, failures: Failures) -> tuple[str, dict[str, Any]]:
    """Return the name and the data of a typed event.

    Raises:
        EventTypeError: values are strict, as in tests, and a field is not of its type.
        TypeError: it is not an event that has a class of its own.
    """
    cls: Any = type(typed)
    name = event_name(cls)
    if name is None:
        raise TypeError(f"a {type_name(typed)} is not an event; decorate its class with @event(NAME)")
    data = {}
    for field in _read_fields(cls):
        value = data[field.name] = getattr(typed, field.name)
        if not _fits(field, value):
            _refuse(cls, name, field, value, failures)
    return name, data


def name_unnamed(name: str | None, failures: Failures) -> str:
    """Return the name of an event that has none; that it is empty, and not left out, is counted.

    Raises:
        EventTypeError: values are strict, as in tests, and it is empty.
    """
    if name is not None:
        if is_strict():
            raise EventTypeError("name", "an empty text", 'give one such as "shop.tea.buy"')
        failures.note("nameless")
    return UNKNOWN_NAME


def _fits(field: _Field, value: Any) -> bool:
    try:
        return field.fits(value)
    except Exception:  # noqa: BLE001, third-party code; the serializer will see
        return True


def _refuse(cls: type, name: str, field: _Field, value: Any, failures: Failures) -> None:
    found = type_name(value)
    error = EventTypeError(f"{cls.__name__}.{field.name}", f"of type {found}", f"expected {field.expected}")
    if is_strict():
        raise error
    if (cls, field.name, found) in _said or len(_said) >= _MOST_SAID:
        failures.note(f"type {name}")
        return
    _said.add((cls, field.name, found))
    template = "a field of %r is wrong, and event %r goes on: %s"
    failures.swallow(f"type {name}", template, cls.__name__, {"name": name}, error)


def _write_type(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint).replace("typing.", "")


@lru_cache(maxsize=1000)
def _read_fields(cls: Any) -> tuple[_Field, ...]:
    try:
        hints = get_type_hints(cls)
    except Exception:  # noqa: BLE001, a name that only type checkers import; they check it
        hints = {}
    return tuple(
        _Field(field.name, make_check(hints.get(field.name, Any)), _write_type(field.type))
        for field in dataclasses.fields(cls)
    )
