"""`eventpub tap`: what passes through a queue's sidecars, as it passes; nothing is taken away."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from eventpub.cli.arguments import add_command, add_json, parse_as, queue_name
from eventpub.cli.errors import UsageError
from eventpub.cli.exit_codes import EXIT_OK, EXIT_UNAVAILABLE
from eventpub.cli.terminal import complain, flush_output, say
from eventpub.cli.wording import count_noun, format_json
from eventpub.errors import QueueNameError
from eventpub.queue.refusal import check_name
from eventpub.settings import ini
from eventpub.sidecar.queue_choice import choose_queue
from eventpub.sidecar.spool import dead_letters
from eventpub.sidecar.spool.folder import DEAD

from .condition import FieldCondition, parse_where
from .following import Followers
from .guard import guard_command
from .letters import NAME
from .named import add_schema, name_event
from .spools import add_spools, list_slots, list_spools

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

    from eventpub.cli.arguments import Commands

    from .following import Passed

_EPILOG = """\
examples:
  eventpub tap v2                                       show the events of queue v2 as they pass
  eventpub tap v2 --where action=buy --where user.id=u1 --limit 10
  eventpub tap example.ini --json                       one JSON object a line, for jq and others
  eventpub tap v2 --dead                                show events that become dead letters, and why

Shows an event once it is safe in the sidecar's batch file, and takes none away. If this command is slower than
the events are, some are not shown, and it says how many. Run it as the sidecar's user, or as root. Without
CONFIG.ini and --spool it finds the sidecars that run on this host. Version 2 events are shown by the names of
the schema's fields; FIELD may be nested: user.id, items.0.name.

exit codes: 0 --limit was reached, or the reader of the output has gone   130 ended by Ctrl-C
            64 wrong arguments   69 no sidecar of the queue runs here   73 no spool, or no access
            78 wrong configuration
"""
_LOOK_SECONDS = 1.0  # between two looks for new sidecars
_DEAD_LOOK_SECONDS = 0.25
_MAX_LIMIT = 10**9
_LETTER_FACTS = ("queue", "reason", "status", "detail", "batch_id", "index")


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(commands, "tap", help="show the events that pass through a queue", epilog=_EPILOG)
    parser.add_argument("name", nargs="?", metavar="NAME", help="the queue (default: the file's only one)")
    add_spools(parser)
    parser.add_argument(
        "--where",
        type=parse_where,
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="only events with this value; all of several must hold",
    )
    parser.add_argument("--dead", action="store_true", help="events that become dead letters, instead")
    parser.add_argument(
        "--limit", type=parse_as(ini.integer(1, _MAX_LIMIT)), metavar="N", help="end after N events"
    )
    parser.add_argument("--queue-name", type=queue_name, metavar="NAME", help="the same as NAME")
    add_json(parser, "one JSON object per line")
    add_schema(parser)
    parser.set_defaults(run=guard_command(run_tap))


def run_tap(options: argparse.Namespace) -> int:
    """Show what passes until Ctrl-C, or until the limit is reached."""
    options.queue_name = _choose_queue(options)
    shown = _Shown(
        options.queue_name,
        options.where,
        options.schema,
        as_json=options.json,
        limit=options.limit or _MAX_LIMIT,
    )
    if options.dead:
        return _show_dead(options, shown)
    followers = Followers(lambda: list_slots(options, options.queue_name))
    complaints = followers.look()
    for words in complaints:
        complain(words)
    if not followers.is_following():
        if not complaints:
            _complain_of_none(options)
        return EXIT_UNAVAILABLE
    complain(f"showing what passes through queue {options.queue_name}; Ctrl-C ends this")
    look_at = time.monotonic() + _LOOK_SECONDS
    while not shown.is_enough():
        passed = followers.take(0)
        if passed is None:
            flush_output()
            passed = followers.take(_LOOK_SECONDS)
        if passed is not None:
            shown.show(passed)
        if time.monotonic() >= look_at:
            followers.look()
            look_at = time.monotonic() + _LOOK_SECONDS
    flush_output()
    return EXIT_OK


def _complain_of_none(options: argparse.Namespace) -> None:
    name = options.queue_name
    remedy = f"start one, or name its CONFIG.ini: eventpub tap {name} CONFIG.ini"
    if options.config_file or options.spool:
        remedy = f"see: eventpub status --queue-name {name} {options.config_file or ''}".rstrip()
    complain(f"no sidecar of queue {name} runs on this host, as far as this user can see; {remedy}")


def _choose_queue(options: argparse.Namespace) -> str:
    """Return the queue that is meant; before CONFIG.ini, NAME may be left out."""
    name = options.name
    if name is not None and options.config_file is None and (name.endswith(".ini") or "/" in name):
        name, options.config_file = None, name
    if None not in (name, options.queue_name):
        raise UsageError("name the queue once: NAME or --queue-name NAME")
    name = name or options.queue_name
    if name is None and options.config_file is None:
        raise UsageError("name the queue, or its sidecar's CONFIG.ini")
    if name is None:
        return choose_queue(options.config_file, None)
    try:
        check_name(name)
    except QueueNameError as error:
        raise UsageError(str(error)) from None
    return str(name)


@dataclass
class _Shown:
    """What was shown, and how."""

    queue: str
    conditions: list[FieldCondition]
    schema: type | None
    limit: int
    as_json: bool
    events: int = field(default=0, init=False)

    def is_enough(self) -> bool:
        """Tell whether the limit is reached."""
        return self.events >= self.limit

    def show(self, passed: Passed) -> None:
        """Show what a sidecar passed on."""
        origin = {"queue": self.queue, "slot": int(passed.slot.name)}
        if passed.lost:
            self._tell(
                origin, f"{count_noun(passed.lost, 'event')} passed too fast to be shown", lost=passed.lost
            )
        if passed.words:
            self._tell(origin, passed.words)
        if passed.event is not None:
            self.show_event(passed.event, passed.version, origin)

    def show_event(self, event: bytes, version: str | None, origin: dict[str, Any], words: str = "") -> None:
        """Show an event if it meets the conditions; `words` stand before it where people read."""
        named, key = _read_event(event, self.schema, version)
        if not all(condition.is_met(named) for condition in self.conditions):
            return
        self.events += 1
        if self.as_json:
            say(format_json({"at": _format_time("%Y-%m-%dT%H:%M:%SZ"), **origin, key: named}, indent=None))
        else:
            say(f"{time.strftime('%H:%M:%S')}  {words}{format_json(named, indent=None)}")

    def _tell(self, origin: dict[str, Any], words: str, lost: int = 0) -> None:
        if self.as_json and lost:
            say(format_json({"at": _format_time("%Y-%m-%dT%H:%M:%SZ"), **origin, "lost": lost}, indent=None))
        else:
            flush_output()
            complain(f"slot {origin['slot']}: {words}")


def _show_dead(options: argparse.Namespace, shown: _Shown) -> int:
    """Show the dead letters that are written from now on."""
    folders = [spool / options.queue_name / DEAD for spool in list_spools(options, options.queue_name)]
    if not any(folder.parent.is_dir() for folder in folders):
        complain(
            f"no spool of queue {options.queue_name} was found; name its CONFIG.ini: "
            f"eventpub tap {options.queue_name} CONFIG.ini --dead"
        )
        return EXIT_UNAVAILABLE
    known = {path for folder in folders for path in _list_letters(folder)}
    complain(f"showing what becomes a dead letter of queue {options.queue_name}; Ctrl-C ends this")
    while not shown.is_enough():
        found = {path for folder in folders for path in _list_letters(folder)}
        for path in sorted(found - known):
            try:
                letter = dead_letters.read_letter(path.read_bytes())
            except (FileNotFoundError, ValueError):  # dropped already
                continue
            facts = {name: letter.get(name) for name in _LETTER_FACTS}
            words = f"{facts['reason']} {facts['status'] or ''} {facts['detail']}  "
            shown.show_event(dead_letters.event_of(letter), dead_letters.version_of(letter), facts, words)
            if shown.is_enough():
                break
        known = found
        flush_output()
        time.sleep(_DEAD_LOOK_SECONDS)
    return EXIT_OK


def _list_letters(folder: Path) -> Iterator[Path]:
    try:
        yield from (path for path in folder.iterdir() if NAME.fullmatch(path.name))
    except FileNotFoundError:  # no sidecar has made it yet
        return


def _read_event(event: bytes, schema: type | None, version: str | None) -> tuple[Any, str]:
    """Return an event as it is shown and the name of that: what is not JSON is text, and else base64."""
    try:
        return name_event(event, schema, version), "event"
    except (ValueError, RecursionError):
        pass
    try:
        return event.decode(), "event"
    except UnicodeDecodeError:
        return base64.b64encode(event).decode(), "event_base64"


def _format_time(form: str) -> str:
    return time.strftime(form, time.gmtime())
