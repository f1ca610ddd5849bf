"""Processors that end events by their name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from eventpub.pipeline import name_of, text_of

from .errors import EventEmissionExit, FilterError

if TYPE_CHECKING:
    from enum import Enum

E = TypeVar("E")

FilterType = Literal["allowlist", "blocklist"]


class RegexFilter:
    """Lets events pass, or ends them, whose name matches a regular expression from its beginning.

    Args:
        filter_type: "allowlist" ends every event that matches no expression, "blocklist" every one that matches
            any.
        regular_expressions: matched as `re.match` does; end one with `$` to match whole names. Without any, an
            allowlist ends all events and a blocklist none.

    Raises:
        FilterError: (a ValueError) another type, an expression that is none, or one text instead of several.
    """

    def __init__(
        self, filter_type: FilterType = "allowlist", regular_expressions: Iterable[str | re.Pattern[str]] = ()
    ) -> None:
        if filter_type not in get_args(FilterType):
            raise FilterError("filter_type", repr(filter_type), f"is none of {', '.join(get_args(FilterType))}")
        _check_several("regular_expressions", regular_expressions)
        self.filter_type = filter_type
        self._matches = [_compile_expression(expression).match for expression in regular_expressions]
        self._allows = filter_type == "allowlist"

    def __call__(self, event: E) -> E:
        """Return the event, or raise EventEmissionExit; of a list of events, those that pass."""
        return _pass_on(event, self._lets_pass)

    def _lets_pass(self, name: str) -> bool:
        return any(match(name) for match in self._matches) is self._allows


class NameAllowlist:
    """Ends every event whose name is not listed.

    Args:
        names: the names that may pass; members of an enum stand for their values.

    Raises:
        FilterError: (a ValueError) one text instead of several names.
    """

    def __init__(self, names: Iterable[str | Enum]) -> None:
        _check_several("names", names)
        self.names = frozenset(map(text_of, names))

    def __call__(self, event: E) -> E:
        """Return the event, or raise EventEmissionExit; of a list of events, those that pass."""
        return _pass_on(event, self.names.__contains__)


class NameWhitelistProcessor(NameAllowlist):
    """A `NameAllowlist` as event-tracking's settings make it.

    Args:
        whitelist: the names that may pass.
        options: ignored, as there.

    Raises:
        FilterError: (a TypeError) no names, or one text instead of several.
    """

    def __init__(self, whitelist: Iterable[str | Enum] | None = None, **options: object) -> None:  # noqa: ARG002
        _check_several("The NameWhitelistProcessor must be passed a whitelist", whitelist)
        super().__init__(whitelist or ())


def _pass_on(event: E, lets_pass: Callable[[str], bool]) -> E:
    """Return an event that passes by its name, or the part of a list that does; nothing left ends it."""
    if isinstance(event, list):
        passing = [item for item in event if lets_pass(name_of(item))]
        if passing:
            return passing  # type: ignore[return-value]
    elif lets_pass(name_of(event)):
        return event
    raise EventEmissionExit


def _check_several(argument: str, given: Any) -> None:
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise FilterError(argument, repr(given), "is not several; write [...] around it")


def _compile_expression(expression: str | re.Pattern[str]) -> re.Pattern[str]:
    try:
        return re.compile(expression)
    except (re.error, TypeError) as error:
        raise FilterError("regular_expressions", repr(expression), f"cannot be compiled: {error}") from error
