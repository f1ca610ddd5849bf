"""What all stages of the pipeline agree on: an event has a name, and a stage has `send`.

Nothing else is asked of an event, so a mapping, an `Event` and a Thrift struct go the same way; and nothing
else of a stage, so that any of them can stand behind any other, to any depth.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from eventpub.errors import NotAStageError

UNKNOWN_NAME = "unknown"


@runtime_checkable
class Backend(Protocol):
    """Whatever events can be sent to: `EventQueue`, `RoutingBackend`, `Processor`, `EventManager`, or yours."""

    def send(self, event: Any, /) -> object:
        """Take one event; what is returned is the stage's own affair."""


def name_of(event: Any) -> str:
    """Return an event's name: `event["name"]` of a mapping, `event.name` of anything else, else "unknown"."""
    # dict first: it is asked for without the machinery of ABCs
    name = event.get("name") if isinstance(event, (dict, Mapping)) else getattr(event, "name", None)
    return UNKNOWN_NAME if name is None else str(name)


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
