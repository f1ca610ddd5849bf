"""What a handler is: takes an event somewhere, and can be rebuilt elsewhere from one line of text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any


class EventHandler(ABC):
    """Base of all handlers; subclasses say in `send_event` where events go.

    One with arguments says in `encode_config` and `decode_config` how they are written, so that other processes
    can be told of it (`EventManager.handler_config_as_env`); `ConfiguredHandler` does both for a dataclass.
    """

    @abstractmethod
    def send_event(self, event: Any) -> bool:
        """Send an event, and return whether it arrived.

        To raise is as good as False to an `EventManager`, and says more. `event` is an `Event`, a mapping or a
        Thrift struct, and not to be changed.
        """

    def send(self, event: Any, /) -> bool:
        """Send an event: a handler can stand behind a `Tracker` too."""
        return self.send_event(event)

    @classmethod
    def decode_config(cls, config_str: str) -> dict[str, Any]:  # noqa: ARG003, for those that have arguments
        """Return the keyword arguments that `encode_config` wrote; by default none."""
        return {}

    def encode_config(self) -> str:
        """Return this handler's arguments as a text without `|`; by default an empty one.

        It will stand in an environment variable, for everybody to see who may list the user's processes: name
        the file of a secret, or the variable it is in, never the secret itself.
        """
        return ""
