"""What a handler declares: the events it wants, and which handlers run before and after it.

The decorators store the declaration on the function and return the function itself. A declaration is never
changed, only replaced, so decorating a wrapper made by `functools.wraps` does not affect the wrapped function.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple, TypeVar

from eventpub.pipeline import text_of

F = TypeVar("F", bound=Callable[..., Any])

_ATTRIBUTE = "_eventpub_declared"


class Want(NamedTuple):
    """One `@want`: one of the names, and all of the filters, must match."""

    names: frozenset[str]  # empty for any name
    filters: tuple[Callable[[Any], object], ...]


class Declared(NamedTuple):
    """All decorators of one handler."""

    wants: tuple[Want, ...] = ()  # empty for every event
    requires: tuple[str, ...] = ()
    required_by: tuple[str, ...] = ()


def read_declaration(function: Callable[..., Any]) -> Declared:
    """Return what the decorators of a function declared."""
    found: Declared = getattr(function, _ATTRIBUTE, Declared())
    return found


def want(*names_or_filters: str | Enum | Callable[[Any], object]) -> Callable[[F], F]:
    """Call the handler only for events with one of these names that all of these filters accept.

    Several `@want` on one handler are alternatives: the event has to match one of them. Without any, the
    handler is called for every event.

    Args:
        names_or_filters: names of events, or enum members with these values; functions that take the event and
            return whether it is wanted. Without names, the filters are asked about events of every name.

    Raises:
        TypeError: no argument, or an argument of another type; `@want` without parentheses is such a mistake.
    """
    if not names_or_filters:
        raise TypeError("@want() needs names of events or filters; leave it out to get all events")
    names = [text_of(item) for item in names_or_filters if isinstance(item, (str, Enum))]
    filters = [item for item in names_or_filters if not isinstance(item, (str, Enum))]
    for item in filters:
        if not callable(item):
            raise TypeError(f"@want takes names of events and filters, not {item!r}")
        if not _takes_one(item):
            raise TypeError(f'@want takes filters, called with the event alone, not {item!r}: @want("NAME")')
    wanted = Want(frozenset(names), tuple(filters))

    def note(function: F) -> F:
        so_far = read_declaration(function)
        return _note_down(function, so_far._replace(wants=(*so_far.wants, wanted)))

    return note


def requires(*handlers: str) -> Callable[[F], F]:
    """Call the handlers of these names before this one.

    Args:
        handlers: the names they are registered under, now or later.

    Raises:
        TypeError: there is none, or one is not a name.
    """
    _check_names("requires", handlers)

    def note(function: F) -> F:
        so_far = read_declaration(function)
        return _note_down(function, so_far._replace(requires=(*so_far.requires, *handlers)))

    return note


def required_by(*handlers: str) -> Callable[[F], F]:
    """Call this handler before those of these names, as if each had `@requires` this one.

    Args:
        handlers: the names they are registered under, now or later.

    Raises:
        TypeError: there is none, or one is not a name.
    """
    _check_names("required_by", handlers)

    def note(function: F) -> F:
        so_far = read_declaration(function)
        return _note_down(function, so_far._replace(required_by=(*so_far.required_by, *handlers)))

    return note


def _note_down(function: F, everything: Declared) -> F:
    setattr(function, _ATTRIBUTE, everything)
    return function


def _takes_one(function: Callable[..., Any]) -> bool:
    from inspect import signature  # noqa: PLC0415, 10 ms that applications without filters do not pay

    try:
        signature(function).bind(None)
    except ValueError:  # some functions written in C have no signature
        return True
    except TypeError:
        return False
    return True


def _check_names(decorator: str, handlers: tuple[object, ...]) -> None:
    if not handlers:
        raise TypeError(f'@{decorator}() names no handler: @{decorator}("NAME")')
    for handler in handlers:
        if not isinstance(handler, str):
            raise TypeError(f'@{decorator} takes names of handlers, not {handler!r}: @{decorator}("NAME")')
