"""What all stages of the pipeline agree on: an event has a name, and a stage has `send`.

An event needs nothing else, so mappings, `Event`s and Thrift structs go the same way; a stage needs nothing
else, so any stage can follow any other, to any depth.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

from .errors import NotAStageError

UNKNOWN_NAME = "unknown"

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@runtime_checkable
class Backend(Protocol):
    """Takes events: `EventQueue`, `RoutingBackend`, `Processor`, `EventManager`, or your own class."""

    def send(self, event: Any, /) -> object:
        """Take one event.

        Return False if you lost the event and logged why; the caller only counts it. Any other return value is
        ignored.
        """


def name_of(event: Any) -> str:
    """Return an event's name, or "unknown".

    The name is `event["name"]` for a mapping and `event.name` for anything else. An event without one, but with
    source, noun and action like version 2 events, is called SOURCE.NOUN.ACTION. An enum member counts as its
    value.
    """
    # dict first: this check is much cheaper than the one for Mapping
    if isinstance(event, (dict, Mapping)):
        name = event.get("name")
    else:
        name = getattr(event, "name", None)
        if name is None:
            parts = [getattr(event, part, None) for part in ("source", "noun", "action")]
            name = None if None in parts else ".".join(map(text_of, parts))
    if name.__class__ is str:  # the usual case
        return name
    return UNKNOWN_NAME if name is None else text_of(name)


def text_of(name: Any) -> str:
    """Return a name as JSON and hashing see it: the value of an enum member, not its `str`."""
    if isinstance(name, str):
        return str.__str__(name)
    return text_of(name.value) if isinstance(name, Enum) else str(name)


def name_for_log(event: Any) -> str:
    """Return an event's name; "unknown" if reading it fails."""
    try:
        return name_of(event)
    except Exception:  # noqa: BLE001, third-party code
        return UNKNOWN_NAME


def check_backend(argument: str, backend: Any) -> None:
    """Raise unless events can be sent to `backend`.

    Args:
        argument: its name in the error.
        backend: the object that should have `send(event)`.

    Raises:
        NotAStageError: it has no callable `send`.
    """
    if not callable(getattr(backend, "send", None)):
        raise NotAStageError(argument, repr(backend), "has no send(event) that can be called")


def only_reads(stage: object) -> bool:
    """Tell whether a stage promises to neither change nor keep what it is sent, by an attribute `only_reads`.

    The promise is about the methods of the class that makes it. A subclass that overrides one of them, or an
    instance whose `send` was replaced, has to make it anew. A stage without it is sent copies of other people's
    events.
    """
    try:
        if getattr(stage, "only_reads", False) is not True:
            return False
    except Exception:  # noqa: BLE001, a stage is third-party code
        return False
    own = getattr(stage, "__dict__", _NOTHING)
    cls: Any = type(stage)
    return "only_reads" in own or ("send" not in own and _keeps_promise(cls))


@lru_cache(maxsize=1000)
def _keeps_promise(cls: Any) -> bool:
    """Tell whether no subclass of the class that promised has overridden a method of it."""
    overridden: set[str] = set()
    for base in cls.__mro__:
        if "only_reads" in vars(base):
            methods = {name for name in overridden if not name.startswith("__") or name == "__call__"}
            return not any(hasattr(base, name) for name in methods)
        overridden |= vars(base).keys()
    return False
