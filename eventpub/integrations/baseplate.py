"""Baseplate: the event queue on the request context, and the server span on each event.

    baseplate = Baseplate(app_config)
    baseplate.register(RequestContextObserver())
    baseplate.configure_context({"events_v2": EventQueueParser()})  # reads events_v2.queue_name, …

or, if the settings have another prefix,

    baseplate.add_to_context("events_v2", event_queue_from_config(app_config, prefix="events."))

For the names after the prefix see `eventpub.integrations.app_events`.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from baseplate import BaseplateObserver, ServerSpanObserver
from baseplate.clients import ContextFactory
from baseplate.lib import config

from eventpub import ambient
from eventpub.errors import ConfigError

from .app_events import AppEvents, open_events
from .describe import from_environ
from .served import ServedRequest

if TYPE_CHECKING:
    from baseplate import RequestContext, ServerSpan, Span

    from eventpub.queue.event_queue import EventQueue


def events_from_config(app_config: dict[str, str], prefix: str = "events.") -> AppEvents:
    """Open the queue, and a tracker that puts its events on it.

    Args:
        app_config: as baseplate read it from the INI file.
        prefix: of the keys, with the dot.

    Raises:
        baseplate.lib.config.ConfigurationError: a setting cannot be used.
        QueueError: the queue cannot be opened.
    """
    given = {key.removeprefix(prefix): text for key, text in app_config.items() if key.startswith(prefix)}
    try:
        return open_events(given, prefix.rstrip("."))
    except ConfigError as error:
        raise config.ConfigurationError(f"{prefix}{error.key}", str(error)) from error


def event_queue_from_config(app_config: dict[str, str], prefix: str = "events.") -> EventQueue[Any]:
    """Open the queue only; the arguments and errors of `events_from_config`."""
    return events_from_config(app_config, prefix).queue


class EventContextFactory(ContextFactory):  # type: ignore[misc]  # without baseplate there are no types
    """Gives each request the queue, and reports its counts as runtime metrics.

    Args:
        queue: opened once, for all requests.
    """

    def __init__(self, queue: EventQueue[Any]) -> None:
        self._queue = queue

    def make_object_for_context(self, name: str, span: Span) -> EventQueue[Any]:  # noqa: ARG002, baseplate's
        """Return the queue."""
        return self._queue

    def report_runtime_metrics(self, batch: Any) -> None:
        """Report how many events were accepted and refused since the process started, as gauges."""
        for name, number in self._queue.counts._asdict().items():
            batch.gauge(f"{self._queue.name}.{name}").replace(number)


class EventQueueParser(config.Parser):  # type: ignore[misc]  # without baseplate there are no types
    """For `Baseplate.configure_context`: opens the queue of the settings below its name."""

    def parse(self, key_path: str, raw_config: dict[str, str]) -> EventContextFactory:
        """Return the factory for the context attribute named by the last part of `key_path`."""
        return EventContextFactory(event_queue_from_config(raw_config, f"{key_path}."))


class RequestContextObserver(BaseplateObserver):  # type: ignore[misc]  # without baseplate there are no types
    """Binds the server span's ids and name as the request, with what a Pyramid request adds."""

    def on_server_span_created(self, context: RequestContext, server_span: ServerSpan) -> None:
        """Bind the request from the span's start to its end."""
        environ = getattr(context, "environ", None)
        ids = {"id": server_span.id, "trace_id": server_span.trace_id, "route": server_span.name}
        server_span.register(
            _Binding(ServedRequest(lambda: {**(from_environ(environ) if environ else {}), **ids}))
        )


class _Binding(ServerSpanObserver):  # type: ignore[misc]  # without baseplate there are no types
    """A request that is bound while its span lasts."""

    def __init__(self, served: ServedRequest) -> None:
        self._served = served
        self._bound = ExitStack()

    def on_start(self) -> None:
        self._bound.callback(self._served.finish)
        self._bound.enter_context(ambient.Running(self._served))

    def on_finish(self, exc_info: object) -> None:  # noqa: ARG002, baseplate passes it
        self._bound.close()
