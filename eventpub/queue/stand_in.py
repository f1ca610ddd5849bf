"""What takes events in the kernel's place while an application is developed: EVENTPUB_QUEUE, or `stand_in`.

| value     | where the events go                                                                            |
|-----------|------------------------------------------------------------------------------------------------|
| `print`   | to standard error, a line each                                                                 |
| `discard` | nowhere                                                                                        |
| `memory`  | into this process's memory, the last 10,000; `eventpub.testing.take_messages` takes them       |

Serializers, limits of size and errors are the real ones; the queue is never full, and no other process sees it.
This is never the default, is said once for each queue, and is refused while another process has the kernel's
queue of that name open: its sidecar would wait in vain. A process that opens it later is reported, once.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

from eventpub.errors import QueueError, QueueLimitError, QueuePermissionError, QueueStandInError
from eventpub.wire import MAX_EVENT_SIZE

from . import access, holders
from .access import DEFAULT_MODE, Wish
from .message_queue import MessageQueue
from .refusal import check_name
from .remedies import explain_impossible

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

VARIABLE = "EVENTPUB_QUEUE"
_KEPT_MESSAGES = 10_000
_LOOK_SECONDS = 10.0  # between looks for other processes, which take some milliseconds

kept: dict[str, deque[bytes]] = {}  # by the queue's name, with `memory`
_said: set[tuple[str, str]] = set()
_serialized = threading.local()


class StandIn(MessageQueue):
    """The part of a message queue that an `EventQueue` uses, without a kernel.

    Args:
        name: a valid queue name.
        take: gets each message.
        max_messages: how many it would hold; None for any number.
        max_message_size: bytes of a message; None for the largest that any queue allows.
    """

    __slots__ = ()

    def __init__(
        self,
        name: str,
        take: Callable[[bytes], None],
        max_messages: int | None = None,
        max_message_size: int | None = None,
    ) -> None:
        check_name(name)
        wish = Wish(max_messages, max_message_size, DEFAULT_MODE, None).checked()
        if refusal := explain_impossible(wish.sizes):
            raise QueueLimitError(name, refusal)
        self.name = name
        self.max_messages = sys.maxsize if max_messages is None else max_messages
        self.max_message_size = MAX_EVENT_SIZE if max_message_size is None else max_message_size
        self.created = True
        self.fd = 0  # not negative: open
        self.raw_send = take

    def depth(self) -> int:
        """Return how many messages are waiting."""
        self._check_open()
        return 0

    def is_orphaned(self) -> bool:
        """Return False: it can be closed, but not removed."""
        self._check_open()
        return False

    def close(self) -> None:
        """Close it; does nothing if it is closed already."""
        self.fd = -1

    @property
    def holds_descriptor(self) -> bool:
        """Whether it has to be closed: never."""
        return False

    def __del__(self) -> None:
        """Do nothing: there is nothing to close."""


class DevelopmentQueue(StandIn):
    """Looks every ten seconds whether another process wants the events."""

    __slots__ = ("_kind", "_look_at")

    def __init__(self, queue: Any, kind: str, take: Callable[[bytes], None]) -> None:
        super().__init__(queue.name, take, None, queue._wishes["max_message_size"])
        self._kind = kind
        self._look_at = monotonic() + _LOOK_SECONDS

    def is_orphaned(self) -> bool:
        """Return False, after looking for other processes when it is time to."""
        if monotonic() >= self._look_at and (user := _find_user(self.name)):
            self._look_at = float("inf")
            logger.error(
                "event queue %r: %s now, but %s=%s keeps this process's events from it; unset it and restart",
                self.name, user, VARIABLE, self._kind,
            )  # fmt: skip
        self._look_at = max(self._look_at, monotonic() + _LOOK_SECONDS)
        return super().is_orphaned()

    def __repr__(self) -> str:
        return f"<DevelopmentQueue {self.name!r}, {VARIABLE}={self._kind}{', closed' * (self.fd < 0)}>"


def find_stand_in(queue_name: str, wanted: str | None = None) -> Callable[[Any], MessageQueue] | None:
    """Return what opens an `EventQueue` in the kernel's place; None to leave it to the kernel.

    Args:
        queue_name: the queue's name, for errors.
        wanted: `print`, `discard` or `memory`; None for what the environment variable EVENTPUB_QUEUE says.

    Raises:
        QueueStandInError: it is none of these.
    """
    kind = wanted if wanted is not None else os.environ.get(VARIABLE, "")
    if not kind:
        return None
    if kind not in _OPENERS:
        from eventpub.settings.did_you_mean import did_you_mean  # noqa: PLC0415, takes 4 ms

        place = f"stand_in is {kind!r}" if wanted is not None else f"{VARIABLE} is {kind!r}"
        near = did_you_mean(str(kind), _OPENERS)
        raise QueueStandInError(queue_name, f"{place}: expected print, discard or memory{near}")
    return lambda queue: _open(queue, kind)


def _open(queue: Any, kind: str) -> DevelopmentQueue:
    check_name(queue.name)
    if user := _find_user(queue.name):
        raise QueueStandInError(
            queue.name,
            f"{VARIABLE}={kind} would keep events from it, and {user}; unset {VARIABLE}, or end that process",
        )
    take, where = _OPENERS[kind](queue)
    if (queue.name, kind) not in _said:
        _said.add((queue.name, kind))
        logger.warning(
            "event queue %r: %s=%s, so its events %s, and no sidecar gets them; for development only",
            queue.name, VARIABLE, kind, where,
        )  # fmt: skip
    return DevelopmentQueue(queue, kind, take)


def _find_user(name: str) -> str:
    """Say who uses the kernel's queue of that name; empty if no other process does, as far as can be seen."""
    try:
        with MessageQueue.open(name, read=False, create=False) as queue:
            status = queue.status()
    except QueuePermissionError:
        return "it is another user's"
    except QueueError:
        return ""
    if status.st_uid != os.geteuid():  # whose processes cannot be looked into
        return f"it is {access.describe_owner(status)}"
    return f"{' and '.join(found)} has it open" if (found := [*map(str, holders.find_holders(name))]) else ""


def _print(queue: Any) -> tuple[Callable[[bytes], None], str]:
    serialize = queue._serialize

    def note(event: Any) -> Any:
        _serialized.kind = type(event)
        return serialize(event)

    def take(message: bytes) -> None:
        line = f"eventpub {queue.name}: {_show(message, vars(_serialized).pop('kind', None))}\n"
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or a program without one
            sys.stderr.write(line)

    queue._serialize = note
    return take, "are printed"


def _show(message: bytes, kind: Any) -> str:
    """Return a message for people: a struct by the names of its fields."""
    import json  # noqa: PLC0415, only who prints pays for these

    from eventpub.printable import escape_controls  # noqa: PLC0415
    from eventpub.serialization.thrift_json_decode import decode_struct, load_json  # noqa: PLC0415
    from eventpub.serialization.thrift_plain import to_plain  # noqa: PLC0415
    from eventpub.serialization.thrift_spec import is_struct_class  # noqa: PLC0415

    text = message.decode(errors="replace")
    if is_struct_class(kind):
        with contextlib.suppress(Exception):  # a serializer may write anything
            text = json.dumps(to_plain(decode_struct(kind, load_json(message))), ensure_ascii=False)
    return escape_controls(text).replace("\n", "\\n")


def _discard(_queue: Any) -> tuple[Callable[[bytes], None], str]:
    return (lambda _message: None), "are discarded"


def _keep(queue: Any) -> tuple[Callable[[bytes], None], str]:
    messages = kept.setdefault(queue.name, deque(maxlen=_KEPT_MESSAGES))
    return messages.append, f"are kept in memory, the last {_KEPT_MESSAGES:,}"


_OPENERS = {"print": _print, "discard": _discard, "memory": _keep}
