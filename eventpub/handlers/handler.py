"""What a handler is: it sends an event somewhere, and can be rebuilt elsewhere from one line of text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any


class EventHandler(ABC):
    """Base of all handlers; subclasses define `send_event`.

    A handler with arguments defines `encode_config` and `decode_config`, so that other processes can rebuild it
    (`EventManager.handler_config_as_env`); `ConfiguredHandler` defines both for a dataclass.
    """

    @abstractmethod
    def send_event(self, event: Any) -> bool:
        """Send an event and return whether it arrived.

        Raising counts as False, and is logged with its message. `event` is an `Event`, a mapping or a Thrift
        struct, and must not be changed.
        """

    def send(self, event: Any, /) -> bool:
        """Send an event; makes a handler usable as a backend of a `Tracker`."""
        return self.send_event(event)

    @classmethod
    def decode_config(cls, config_str: str) -> dict[str, Any]:  # noqa: ARG003, for those that have arguments
        """Return the keyword arguments that `encode_config` wrote; none by default."""
        return {}

    def encode_config(self) -> str:
        """Return this handler's arguments as a text without `|`; empty by default.

        The text goes into an environment variable, which anyone who may list the user's processes can read:
        name the file or the variable of a secret, never the secret itself.
        """
        return ""
