"""`eventpub put`: JSON objects, or the fields of version 2 events -> events on a queue."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from eventpub.errors import EventError, EventQueueFullError
from eventpub.queue.event_queue import EventQueue
from eventpub.queue.message_queue import MessageQueue
from eventpub.serialization.serialize import serialize_json_event, serialize_v2_event
from eventpub.serialization.unwritable import strict_values
from eventpub.settings import ini

from .arguments import add_command, add_json, parse_as, queue_name
from .exit_codes import EXIT_INTERRUPTED, EXIT_OK, EXIT_WARNING
from .terminal import complain, say_facts

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Sequence
    from types import FrameType

    from .arguments import Commands

_EPILOG = """\
examples:
  eventpub put --event v2 '{"source": "shop", "action": "buy", "noun": "order", "user": {"id": "u_8c1f"}}'
  eventpub put test '{"example": "value"}'
  eventpub put test < events.jsonl
  zcat events.jsonl.gz | eventpub put test --timeout 60

For a sidecar with collector.version 2 use --event, which converts the fields of eventpub's own event (see
eventpub/schemas/event.thrift) to Thrift JSON. Without it objects are put as they are: any object for version
2j, only Thrift JSON for version 2. The queue must exist: start its sidecar first, or use
`eventpub queue create`.

Empty lines are skipped. put stops at the first event for which there is no room in time, and when it is
interrupted, and says where. To go on from line 42:

  tail -n +42 events.jsonl | eventpub put test

exit codes: 0 all put   1 some not put   69 no such queue, or no access   130 interrupted
"""


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(commands, "put", help="put JSON objects on a queue, one event each", epilog=_EPILOG)
    parser.add_argument("name", type=queue_name, metavar="NAME", help="the queue")
    parser.add_argument(
        "events",
        metavar="JSON",
        nargs="*",
        default=(),  # or argparse calls it required where NAME is missing
        help="events, in UTF-8; default: the lines of standard input",
    )
    parser.add_argument(
        "--event",
        action="store_true",
        help="the JSON holds version 2 fields by name; convert it to Thrift JSON",
    )
    parser.add_argument(
        "--timeout",
        type=parse_as(ini.seconds(0, 86400)),
        default=10.0,
        metavar="SECONDS",
        help="wait this long for room for each event (default: 10)",
    )
    add_json(parser)
    parser.set_defaults(run=run_put)


def run_put(options: argparse.Namespace) -> int:
    """Put the events, count them, and report those that were not put; stop when the queue stays full."""
    MessageQueue.open(options.name, read=False, create=False).close()  # a mistyped name must not create a queue
    serialize = _load_serializer(by_name=options.event)
    with strict_values(), EventQueue[dict[str, Any]](options.name, serialize) as queue:
        load = _Load(options.events)
        try:
            _on_signals(signal.default_int_handler)  # SIGTERM too, so that the user learns how far this came
            code = _put_all(load, queue, options.timeout)
            _on_signals(signal.SIG_IGN)  # a signal that came with the end of the input is raised here
        except KeyboardInterrupt:
            code = EXIT_INTERRUPTED
        stopped = f"; stopped at {load.unit} {load.done + 1}" if code else ""
        text = f"put {queue.counts.accepted:,}, not put {load.refused:,}{stopped}"
        facts = {
            "put": queue.counts.accepted,
            "not_put": load.refused,
            "stopped_at": load.done + 1 if code else None,
        }
        say_facts(text, facts, as_json=options.json)
    return code or (EXIT_WARNING if load.refused else EXIT_OK)


class _Load:
    """The events to put, and how many are done."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.unit = "event" if arguments else "line"
        self.texts: Iterable[bytes] = map(os.fsencode, arguments) if arguments else sys.stdin.buffer
        self.done = 0
        self.refused = 0


def _put_all(load: _Load, queue: EventQueue[dict[str, Any]], timeout_seconds: float) -> int:
    for text in load.texts:
        if text.strip() or load.unit == "event":
            try:
                queue.put(_parse_event(text), timeout_seconds)
            except EventQueueFullError as exc:  # all others would fail the same way
                complain(f"{exc} (waited {timeout_seconds:g} s)")
                return EXIT_WARNING
            except (EventError, ValueError) as exc:
                load.refused += 1
                shown = text.strip().decode(errors="replace")[:60]
                complain(f"event {load.done + 1}{', ' * bool(shown)}{shown}: {exc}")
        load.done += 1
    return EXIT_OK


def _on_signals(handler: Callable[[int, FrameType | None], object] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def _load_serializer(*, by_name: bool) -> Callable[[dict[str, Any]], bytes]:
    if not by_name:
        return serialize_json_event
    from eventpub.schemas.event.ttypes import Event  # noqa: PLC0415

    from .by_name import build_event  # noqa: PLC0415, the generated classes load thrift, which takes a while

    return lambda event: serialize_v2_event(build_event(Event, event))


def _parse_event(text: bytes) -> dict[str, Any]:
    if not text.strip():
        raise ValueError("it is empty")
    try:
        event = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(event, dict):
        raise ValueError("it is not an object")  # noqa: TRY004, json.loads raises no other
    return event
