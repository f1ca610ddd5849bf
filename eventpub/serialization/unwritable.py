"""What happens to a value that no format has a form for: a marker in its place, counted; or an error in tests.

A marker and an error name the type of the value and its place, but never the value: it may be a customer's card
number, and errors go into logs.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections import Counter
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from eventpub.errors import UnwritableValueError

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

logger = logging.getLogger(__name__)

replaced_values: Counter[str] = Counter()  # by the name of their type, in this process

_MAX_PATH = 200  # characters of one that are shown
_MAX_SAID = 1000  # places that are remembered as told; after so many, no further one is told
_PLAIN_KEY = re.compile(r"[^\W\d][\w-]{0,49}(?:\.[^\W\d][\w-]{0,49}){0,9}")

_strict_here: ContextVar[bool] = ContextVar("eventpub strict values")
_strict_blocks = 0  # of the whole process
_said: set[tuple[str, str]] = set()
_read_name: Any = type.__dict__["__name__"].__get__  # a metaclass may have a `__name__` of its own


class UnfitError(TypeError):
    """Why a value cannot be written, in words that do not show it; never leaves this package."""


def is_strict(*, otherwise: bool = False) -> bool:
    """Tell whether a value that cannot be written is an error here, and not replaced by a marker.

    Args:
        otherwise: what goes where nobody has said it.
    """
    return _strict_here.get(otherwise or _strict_blocks > 0)


@contextlib.contextmanager
def strict_values(*, strict: bool = True) -> Iterator[None]:
    """Decide for the block, in this thread or task, whether a value that cannot be written is an error.

    Args:
        strict: True raises `UnwritableValueError`, False replaces the value by a marker and counts it.
    """
    token = _strict_here.set(strict)
    try:
        yield
    finally:
        _strict_here.reset(token)


@contextlib.contextmanager
def strict_process(*, strict: bool = True) -> Iterator[None]:
    """Make the whole process strict for the block, unless a thread or task says otherwise: for tests."""
    global _strict_blocks  # noqa: PLW0603, one for the process
    _strict_blocks += strict
    try:
        yield
    finally:
        _strict_blocks -= strict


def give_up(path: str, value: Any, reason: str) -> str:
    """Return the marker that stands for a value that cannot be written.

    Args:
        path: where the value stands in the event.
        value: the value.
        reason: what is wrong with it and what to do, without the value itself.

    Raises:
        UnwritableValueError: values are strict here.
    """
    name, path = type_name(value), path[:_MAX_PATH] or "event"
    if is_strict():
        raise UnwritableValueError(path, f"of type {name}", reason)
    replaced_values[name] += 1
    if (name, path) not in _said and len(_said) < _MAX_SAID:
        _said.add((name, path))  # first: a logging handler may emit an event with the same value
        logger.warning("%s is of type %s: %s; it is sent without the value (said once)", path, name, reason)
    return mark_type(name)


def free_key(name: Any, taken: Container[Any]) -> Any:
    """Return a key that is not taken: two keys that have one marker must not cost an item."""
    key, number = name, 2
    while key in taken:
        key, number = f"{name} {number}", number + 1
    return key


def mark_type(name: str) -> str:
    """Return the marker for a value of a type of that name."""
    return f"<unserializable {name}>"


def type_name(value: Any) -> str:
    """Return the name of a value's type, for a proxy that of what it stands for; never fails."""
    try:
        name = _read_name(value.__class__)
    except Exception:  # noqa: BLE001, a proxy that stands for nothing here
        name = _read_name(type(value))
    return str(name)[:100]


def describe_type(value: Any) -> str:
    """Return what errors say of a value: its type."""
    return f"of type {type_name(value)}"


def reason_of(error: BaseException) -> str:
    """Return what is known of an error without what it says, as that may show the value."""
    return f"{_read_name(type(error))} while it was read"


def step_to(path: str, key: Any) -> str:
    """Return the path of an item. Keys that do not look like names, such as addresses, are not shown."""
    if isinstance(key, str):
        name = str.__str__(key)
        shown = name if _PLAIN_KEY.fullmatch(name) else "[key]"
    elif key is None or isinstance(key, bool):
        shown = str(key)
    else:
        shown = f"[key of type {type_name(key)}]"
    if shown.startswith("["):
        return f"{path}{shown}"
    return f"{path}.{shown}" if path else shown
