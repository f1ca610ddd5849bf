"""Event -> every handler that was added; a failing handler does not affect the next."""

from __future__ import annotations

import logging
import os
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, overload

from eventpub.errors import HandlerError, describe_error, find_traceback
from eventpub.event import Event
from eventpub.pipeline import name_for_log

from . import environment, finder
from .former import translate_arguments

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .handler import EventHandler

logger = logging.getLogger(__name__)

DEFAULT_VARIABLE = "EVENTPUB_HANDLERS"


class EventManager:
    """Sends events through handlers, in the order they were added.

    A manager takes `Event`s, mappings and Thrift structs, and can be a backend of a `Tracker`.
    """

    def __init__(self) -> None:
        self._handlers: dict[str, EventHandler] = {}

    @property
    def handlers(self) -> Mapping[str, EventHandler]:
        """The handlers by name; read only, `register` and `unregister` change them."""
        return MappingProxyType(self._handlers)

    def send_event(self, event: Any) -> bool:
        """Send an event through all handlers and return whether all of them succeeded.

        A failure is logged, whether the handler returns False or raises, and the next handler still gets the
        event. Returns True if there are no handlers.
        """
        succeeded = True
        for name, handler in self._handlers.items():
            try:
                if not handler.send_event(event):
                    succeeded = False
                    logger.error("handler %r has not sent event %r", name, name_for_log(event))
            except (Exception, SystemExit) as error:
                succeeded = False
                said, traceback = describe_error(error), find_traceback(error)
                template = "handler %r failed on event %r: %s"
                logger.error(template, name, name_for_log(event), said, exc_info=traceback)  # noqa: TRY400, it has one
        return succeeded

    def send(self, event: Any, /) -> bool:
        """Send an event; `send_event` under the name that all stages have."""
        return self.send_event(event)

    def send_event_from_file(self, filename: str | os.PathLike[str]) -> bool:
        """Send the event that `Event.dump` wrote to a file; see `send_event`.

        Raises:
            EventFileError: the file cannot be read, or is not such a file.
        """
        return self.send_event(Event.load(filename))

    def get_handler(self, name: str) -> type[EventHandler]:
        """Return the handler class called `name`.

        Raises:
            HandlerError: no installed package has an entry point of that name, or it cannot be loaded.
        """
        return finder.find_handler(name)

    @overload
    def add_handler(self, name: str, /, *args: Any, **kwargs: Any) -> None: ...

    @overload
    def add_handler(self, *, name: str, **kwargs: Any) -> None: ...

    def add_handler(self, *args: Any, **kwargs: Any) -> None:
        """Create a handler and add it, in place of one with the same name.

        Args:
            name: the name of its entry point.
            args: positional arguments of its class.
            kwargs: keyword arguments of its class; one may be called `name` if the name above is positional.

        Raises:
            HandlerError: there is no such handler, or it does not accept these arguments.
        """
        name, *rest = args or (kwargs.pop("name", ""),)
        self.register(name, _make_handler(name, self.get_handler(name), rest, kwargs))

    def register(self, name: str, handler: EventHandler) -> None:
        """Add an existing handler, in place of one with the same name.

        Only a handler whose entry point has that `name` can be rebuilt by `load_handlers_from_env`.
        """
        self._handlers = {**self._handlers, name: handler}  # another thread may be iterating over the old one

    def unregister(self, name: str) -> None:
        """Send no further event through the handler of that name.

        Raises:
            HandlerError: there is none.
        """
        if name not in self._handlers:
            raise HandlerError(name, "no handler is registered by that name")
        self._handlers = {other: handler for other, handler in self._handlers.items() if other != name}

    def load_handlers_from_env(self, var_name: str = DEFAULT_VARIABLE) -> None:
        """Add the handlers that an environment variable lists: all of them, or none on an error.

        Args:
            var_name: the variable, `name=value|name=value|name`; an unset one lists none.

        Raises:
            HandlerError: its text is malformed, or names a handler that cannot be found or set up.
        """
        made = []
        for name, value in environment.decode_handlers(os.environ.get(var_name, "")).items():
            cls = self.get_handler(name)
            made.append((name, _rebuild_handler(name, cls, value)))
        for name, handler in made:
            self.register(name, handler)

    def handler_config_as_env(self, var_name: str = DEFAULT_VARIABLE) -> None:
        """Set an environment variable from which `load_handlers_from_env` adds the same handlers.

        Raises:
            HandlerError: a handler's name or configuration has a character that the format cannot hold.
        """
        configurations = {name: handler.encode_config() for name, handler in self._handlers.items()}
        os.environ[var_name] = environment.encode_handlers(configurations)

    def __repr__(self) -> str:
        return f"<EventManager: {', '.join(self._handlers) or 'no handlers'}>"


def _rebuild_handler(name: str, cls: type[EventHandler], value: str) -> EventHandler:
    try:
        return cls(**cls.decode_config(value))
    except (Exception, SystemExit) as error:  # third-party code
        reason = error.reason if isinstance(error, HandlerError) else f"{type(error).__name__}: {error}"
        raise HandlerError(name, f"it cannot be created from {value!r}: {reason}") from error


def _make_handler(name: str, cls: type[EventHandler], args: list[Any], kwargs: dict[str, Any]) -> EventHandler:
    former = translate_arguments(cls.__name__, args, kwargs)
    try:
        return cls(*args, **kwargs) if former is None else cls(**former)
    except TypeError as error:
        raise HandlerError(name, f"its class does not take these arguments: {error}") from error
