"""What all stages of the pipeline agree on: an event has a name, and a stage has `send`.

Nothing else is asked of an event, so a mapping, an `Event` and a Thrift struct go the same way; and nothing
else of a stage, so that any of them can stand behind any other, to any depth.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

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
