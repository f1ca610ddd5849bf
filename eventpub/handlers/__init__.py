"""Send events to people and services: by mail, into files, buckets, logs, queues, to a collector, to your own.

>>> from eventpub import Event, handlers
>>> handlers.add_handler("logging", level="DEBUG")
>>> with Event("build", result="passed") as event:
...     pass
>>> handlers.send_event(event)
True

The functions use `default_manager`, which is the process's. A handler is found by its entry point of the group
`eventpub.handlers`; ours are `file`, `http`, `logging`, `queue`, `s3` and `smtp`.
"""

from __future__ import annotations

import logging

from eventpub.errors import EventError
from eventpub.event import Event, unique_id

from .configured import ConfiguredHandler
from .handler import EventHandler
from .manager import DEFAULT_VARIABLE, EventManager

__all__ = [
    "DEFAULT_VARIABLE",
    "ConfiguredHandler",
    "Event",
    "EventError",
    "EventHandler",
    "EventManager",
    "add_handler",
    "default_manager",
    "get_handler",
    "handler_config_as_env",
    "load_handlers_from_env",
    "logger",
    "send_event",
    "send_event_from_file",
    "unique_id",
    "unregister",
]

logger = logging.getLogger(__name__)  # its settings apply to the loggers of managers and handlers

default_manager = EventManager()
add_handler = default_manager.add_handler
get_handler = default_manager.get_handler
handler_config_as_env = default_manager.handler_config_as_env
load_handlers_from_env = default_manager.load_handlers_from_env
send_event = default_manager.send_event
send_event_from_file = default_manager.send_event_from_file
unregister = default_manager.unregister
