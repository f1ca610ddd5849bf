"""What all stages of the pipeline agree on: an event has a name, and a stage has `send`.

Nothing else is asked of an event, so a mapping, an `Event` and a Thrift struct go the same way; and nothing
else of a stage, so that any of them can stand behind any other, to any depth.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Protocol, runtime_checkable

from .errors import NotAStageError

UNKNOWN_NAME = "unknown"


@runtime_checkable
class Backend(Protocol):
    """Whatever events can be sent to: `EventQueue`, `RoutingBackend`, `Processor`, `EventManager`, or yours."""

    def send(self, event: Any, /) -> object:
        """Take one event.

        False says that it is lost here, which the stage has logged itself: whoever sent it counts that as a
        failure and logs nothing more. Whatever else is returned is the stage's own affair.
        """


def name_of(event: Any) -> str:
    """Return an event's name, or "unknown".

    It is `event["name"]` of a mapping and `event.name` of anything else; for want of that, SOURCE.NOUN.ACTION
    of what has these three, as version 2 events do. A member of an enum stands for its value.
    """
    # dict first: it is asked for without the machinery of ABCs
    if isinstance(event, (dict, Mapping)):
        name = event.get("name")
    else:
        name = getattr(event, "name", None)
        if name is None:
            parts = [getattr(event, part, None) for part in ("source", "noun", "action")]
            name = None if None in parts else ".".join(map(text_of, parts))
    if name.__class__ is str:  # as nearly always
        return name
    return UNKNOWN_NAME if name is None else text_of(name)


def text_of(name: Any) -> str:
    """Return a name as JSON and hashing have it: of a member of an enum its value, not its `str`."""
    if isinstance(name, str):
        return str.__str__(name)
    return text_of(name.value) if isinstance(name, Enum) else str(name)


def name_for_log(event: Any) -> str:
    """Return an event's name, and "unknown" too where asking for it fails."""
    try:
        return name_of(event)
    except Exception:  # noqa: BLE001, an event is anybody's
        return UNKNOWN_NAME


def check_backend(argument: str, backend: Any) -> None:
    """Refuse what events cannot be sent to.

    Args:
        argument: what the error calls it.
        backend: what should have a `send(event)`.

    Raises:
        NotAStageError: it has no `send`, or none that can be called.
    """
    if not callable(getattr(backend, "send", None)):
        raise NotAStageError(argument, repr(backend), "has no send(event) that can be called")


def only_reads(stage: object) -> bool:
    """Tell whether a stage promises to neither change nor keep what it is sent: by an attribute `only_reads`.

    A stage that does not is sent copies of what belongs to others.
    """
    return getattr(stage, "only_reads", False) is True
