"""An application's settings -> its event queue and its tracker, the same way in every framework.

A queue is opened once per process, or once before its server forks: parent and children go on with the same
queue. It stays open as long as the process lives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eventpub.event import unique_id
from eventpub.event.to_v2 import to_v2_event
from eventpub.pipeline import check_backend
from eventpub.serialization.serialize import serialize_v2_event
from eventpub.tracking import Tracker

from .app_processors import send_guarded
from .app_settings import read_settings, take_object
from .describe import REQUEST_ID_HEADER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from eventpub.queue.event_queue import EventQueue
    from eventpub.tracking.tracker import CommitHook


@dataclass(frozen=True, slots=True)
class AppEvents:
    """What an application uses: `queue.put(event)` raises `EventError`, `tracker.emit(…)` never does."""

    queue: EventQueue[Any]
    tracker: Tracker
    request_id_header: str = REQUEST_ID_HEADER

    def adopt_processors(self, trackers: Iterable[Tracker]) -> None:
        """Register the processors of other trackers that are not registered yet."""
        router = self.tracker.routing_backend
        for processor in (one for tracker in trackers for one in tracker.processors):
            if processor not in router.processors:
                router.register_processor(processor)


def open_events(settings: Mapping[str, Any], place: str, commit_hook: CommitHook | None = None) -> AppEvents:
    """Open the queue that an application's settings speak of, and a tracker whose events go onto it.

    Args:
        settings: as for `read_settings`.
        place: likewise.
        commit_hook: of the tracker, where the framework has transactions.

    Raises:
        ConfigError: a setting is unknown, missing or out of range.
        NotAStageError: a processor cannot be called, or the queue has no `send`.
        QueueError: the queue cannot be opened.
    """
    read = read_settings(settings, place)
    queue = take_object(settings, "queue")
    if queue is None:
        queue = read.open(place)
    as_structs = read.serializer is serialize_v2_event
    tracker = Tracker(
        {"queue": _ToQueue(queue, as_structs=as_structs, default=read.serializer_default)},
        processors=read.make_processors(place),
        commit_hook=commit_hook,
        on_commit=read.on_commit,
    )
    return AppEvents(queue, tracker, read.request_id_header)


class _ToQueue:
    """Puts what was tracked on a queue, with an id of its own, as a version 2 event if the queue takes those.

    It comes after all processors: these see the event as it was tracked.
    """

    only_reads = True

    def __init__(
        self, queue: EventQueue[Any], *, as_structs: bool, default: Callable[[Any], Any] | None
    ) -> None:
        check_backend("queue", queue)
        self._queue = queue
        self._as_structs = as_structs
        self._default = default

    def send(self, event: Any, /) -> None:
        if self._as_structs:
            made = to_v2_event(event, default=self._default)
            if made is not event and made.uuid is None:
                made.uuid = unique_id()
            event = made
        elif event.__class__ is dict and "uuid" not in event:
            event = {**event, "uuid": unique_id()}
        send_guarded(self._queue.send, event)
