"""Event -> processors, one after the other -> every backend.

The sender's event never changes: processors work on a copy. Without processors, only backends that may change
or keep an event get a copy, which are all that do not promise otherwise (`pipeline.only_reads`). Routers
promise it, so nested routers copy only where they process.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypedDict

from eventpub.errors import NotAStageError, UnwritableValueError
from eventpub.pipeline import Backend, check_backend, name_for_log, only_reads

from .errors import EventEmissionExit, EventSkipped
from .failures import Failures
from .snapshot import snapshot

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from datetime import datetime

EventProcessor = Callable[[Any], Any]


class TrackedEvent(TypedDict):
    """What `Tracker.emit` makes, and processors and backends get."""

    name: str
    timestamp: datetime
    data: dict[str, Any]
    context: dict[str, Any]


class RoutingBackend:
    """Sends an event through processors, and what comes out to every backend.

    A processor is called with the event and returns it, or another event, or None for the one it got and may
    have changed. The next processor gets the result. Raising `EventEmissionExit` ends the event here; any other
    exception of a processor is logged, and the event goes on to the next.

    Backends are called in turn, in the order of their registration, with the same event. An exception of one is
    logged, and the next still gets the event. Any stage can be a backend, including a router.

    Args:
        backends: registered in the order of their sorted names.
        processors: registered in their own order.

    Attributes:
        failures: how often each backend or processor raised, or a backend returned False, by "backend NAME" and
            "processor NAME"; see `Failures`.

    Raises:
        NotAStageError: (a ValueError) a backend has no `send` that can be called, or a processor cannot be
            called.
    """

    only_reads = True  # it changes only a copy

    def __init__(
        self, backends: Mapping[str, Backend] | None = None, processors: Iterable[EventProcessor] | None = None
    ) -> None:
        self.backends: dict[str, Backend] = {}
        self.processors: list[EventProcessor] = []
        self._seen: list[EventProcessor] = []
        self._order: list[EventProcessor] = []
        self.failures = Failures()
        backends = backends or {}
        for name in sorted(backends):
            self.register_backend(name, backends[name])
        for processor in processors or ():
            self.register_processor(processor)

    def register_backend(self, name: str, backend: Backend) -> None:
        """Add a backend after the others, or replace the one of that name.

        Raises:
            NotAStageError: it has no callable `send`.
        """
        check_backend(f"backend {name!r}", backend)
        self.backends = {**self.backends, name: backend}  # another thread may be iterating over the old one

    def register_processor(self, processor: EventProcessor) -> None:
        """Add a processor after the others. `Redact` and `Hash` run after all, but before `to_v2_event`.

        Raises:
            NotAStageError: it is not callable.
        """
        if not callable(processor):
            raise NotAStageError(f"processor {len(self.processors) + 1}", repr(processor), "cannot be called")
        self.processors.append(processor)

    def _order_processors(self) -> list[EventProcessor]:
        """Return the processors as they run: what one adds to an event must not get past the guards."""
        seen = list(self.processors)
        guards = [one for one in seen if getattr(one, "runs_last", False)]
        others = [one for one in seen if one not in guards]
        places = [place for place, one in enumerate(others) if _converts(one)]
        at = places[0] if places else len(others)
        order = self._order = [*others[:at], *guards, *others[at:]]
        self._seen = seen  # last: another thread then finds the order that belongs to it
        return order

    def send(self, event: Any, /) -> None:
        """Process an event and send it to every backend; never raises what one of them raises."""
        if self.processors:
            try:
                event = self.process_event(snapshot(event))
            except EventEmissionExit:
                return
        elif not all(map(only_reads, self.backends.values())):
            event = snapshot(event)
        self.send_to_backends(event)

    def process_event(self, event: Any) -> Any:
        """Run the processors on an event, which they may change, and return the result.

        Raises:
            EventEmissionExit: one of them ended it.
        """
        # a list that was changed by hand counts too
        for processor in self._order if self._seen == self.processors else self._order_processors():
            try:
                processed = processor(event)
            except (EventEmissionExit, UnwritableValueError):
                raise
            except Exception as error:  # noqa: BLE001, third-party code
                label = getattr(processor, "__qualname__", type(processor).__qualname__)
                template = "processor %r failed, and event %r goes on: %s"
                self.failures.swallow(f"processor {label}", template, label, event, error)
            else:
                if processed is not None:
                    event = processed
        return event

    def send_to_backends(self, event: Any) -> None:
        """Send an event to every backend as it is."""
        for name, backend in self.backends.items():
            try:
                if backend.send(event) is False:  # the backend has logged why
                    self.failures.note(f"backend {name}")
            except UnwritableValueError:  # in tests only, which are to fail by it
                raise
            except EventSkipped as skipped:
                logger.info("backend %r does not take event %r: %r", name, name_for_log(event), skipped)
            except Exception as error:  # noqa: BLE001, third-party code
                template = "backend %r failed, and event %r is lost there: %s"
                self.failures.swallow(f"backend {name}", template, name, event, error)


def _converts(processor: EventProcessor) -> bool:
    """Tell whether a processor makes other events of events, such as `to_v2_event`, alone or in a partial."""
    return getattr(getattr(processor, "func", processor), "converts", False) is True
