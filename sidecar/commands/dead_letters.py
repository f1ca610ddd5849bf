"""`eventpub dead-letters`: list, show, replay and drop the events that the collector refused."""

from __future__ import annotations

import contextlib
import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from eventpub.cli.arguments import add_command, parse_as
from eventpub.cli.errors import UsageError
from eventpub.cli.exit_codes import EXIT_OK, EXIT_WARNING
from eventpub.cli.terminal import complain, print_table, say
from eventpub.cli.wording import count_noun, format_json
from eventpub.settings import ini
from eventpub.sidecar.spool import dead_letters
from eventpub.sidecar.spool.disk import Disk
from eventpub.sidecar.spool.folder import DEAD
from eventpub.sidecar.telemetry.reasons import DeadReason

from . import journal, letters
from .guard import guard_command
from .place import add_place, locate_spool

if TYPE_CHECKING:
    import argparse

    from eventpub.cli.arguments import Commands

    from .letters import Letter
    from .place import Place

_EPILOG = """\
examples:
  eventpub dead-letters list --queue-name v2 example.ini
  eventpub dead-letters show --queue-name v2 example.ini 0f3a5b7c9d1e-12
  eventpub dead-letters replay --queue-name v2 example.ini --all --dry-run
  eventpub dead-letters drop --queue-name v2 example.ini --older-than 30d --yes

A dead letter is an event that the collector refuses permanently, with the reason. It stays until it is replayed
or dropped. The sidecar may run meanwhile. `list` shows the IDs; the beginning of an ID is enough, and a batch's
id without -N means all of its letters.
"""
_LIST_EPILOG = """\
examples:
  eventpub dead-letters list --queue-name v2 example.ini
  eventpub dead-letters list --spool /var/spool/eventpub --since 2h --reason rejected
  eventpub dead-letters list --queue-name v2 example.ini --json

exit codes: 0 listed   1 some files are not dead letters
            64 wrong arguments   73 no spool, or no access   78 wrong configuration
"""
_SHOW_EPILOG = """\
examples:
  eventpub dead-letters show --queue-name v2 example.ini 0f3a5b7c9d1e-12
  eventpub dead-letters show --spool /var/spool/eventpub 0f3a5b7c9d1e

exit codes: 0 shown   1 no such letter
            64 wrong arguments   73 no spool, or no access   78 wrong configuration
"""
_REPLAY_EPILOG = """\
examples:
  eventpub dead-letters replay --queue-name v2 example.ini --all --dry-run
  eventpub dead-letters replay --queue-name v2 example.ini --reason rejected
  eventpub dead-letters replay --queue-name v2 example.ini 0f3a5b7c9d1e-12

Sends the events to the collector of CONFIG.ini, signed with its current key. Accepted letters are removed;
refused ones stay, with the new reason. Repeat a replay that was interrupted or got no answer: events that the
collector has already are not stored again, as long as it remembers batch ids and key.name is the same.

exit codes: 0 all accepted   1 some stayed   2 no usable answer from the collector, or another replay is running
            64 wrong arguments   73 no spool, or no access   78 wrong configuration
"""
_DROP_EPILOG = """\
examples:
  eventpub dead-letters drop --queue-name v2 example.ini 0f3a5b7c9d1e-12           say what would be deleted
  eventpub dead-letters drop --queue-name v2 example.ini --older-than 30d --yes
  eventpub dead-letters drop --spool /var/spool/eventpub --all --yes

exit codes: 0 dropped   1 not dropped: --yes is missing, or no such letter   2 a replay is running
            64 wrong arguments   73 no spool, or no access   78 wrong configuration
"""
_MAX_DETAIL_CHARACTERS = 60
_REASONS = tuple(reason.value for reason in DeadReason)
_MAX_AGE_SECONDS = 100 * 365 * 86_400


def add_parser(commands: Commands) -> None:
    """Declare the commands."""
    parser = add_command(
        commands,
        "dead-letters",
        help="list, show, send again and drop the events that the collector refused",
        epilog=_EPILOG,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    listing = add_command(actions, "list", help="list dead letters, the newest last", epilog=_LIST_EPILOG)
    add_place(listing)
    listing.add_argument("--reason", choices=_REASONS, help="only letters with this reason")
    listing.add_argument(
        "--since",
        type=parse_as(_since_kind()),
        metavar="WHEN",
        help="only letters since: 2h, 7d, 2026-01-31T12:00",
    )
    listing.add_argument("--json", action="store_true", help="one JSON object per line")
    listing.set_defaults(run=guard_command(run_list))

    show = add_command(actions, "show", help="show dead letters and their events", epilog=_SHOW_EPILOG)
    add_place(show)
    show.set_defaults(run=guard_command(run_show))

    replay = add_command(
        actions, "replay", help="send dead letters to the collector again", epilog=_REPLAY_EPILOG
    )
    add_place(replay)
    replay.add_argument("--reason", choices=_REASONS, help="letters with this reason")
    replay.add_argument("--dry-run", action="store_true", help="show what would be sent, but do nothing")
    replay.set_defaults(run=guard_command(run_replay))

    drop = add_command(actions, "drop", help="delete dead letters", epilog=_DROP_EPILOG)
    add_place(drop)
    drop.add_argument(
        "--older-than",
        type=parse_as(ini.seconds(0, _MAX_AGE_SECONDS)),
        metavar="D",
        help="letters older than: 30d",
    )
    drop.add_argument("--yes", action="store_true", help="do it")
    drop.set_defaults(run=guard_command(run_drop))

    for action in (show, replay, drop):
        action.add_argument("ids", metavar="ID", nargs="*", help="ids, as shown by `list`")
    for action in (replay, drop):
        action.add_argument("--all", action="store_true", help="all letters")


def run_list(options: argparse.Namespace) -> int:
    """List the dead letters in columns, or as lines of JSON."""
    place = locate_spool(options)
    found, complaints = _find_letters(place)
    found = [
        letter
        for letter in found
        if options.reason in (None, letter.reason)
        and (options.since is None or letter.age_seconds <= options.since)
    ]
    if options.json:
        for letter in found:
            say(format_json(_summarize_letter(letter), indent=None))
    elif found:
        header = ("DIED AT", "QUEUE", "REASON", "STATUS", "ID", "BYTES", "DETAIL")
        print_table(header, map(_describe_row, found))
    else:
        complain("there are no dead letters" + (" of that kind" if options.reason or options.since else ""))
    return EXIT_WARNING if complaints else EXIT_OK


def run_show(options: argparse.Namespace) -> int:
    """Show whole letters, as one JSON document each."""
    place = locate_spool(options)
    if not options.ids:
        raise UsageError("name the dead letters: ID…")
    chosen, missing = _choose_letters(place, options)
    for letter in chosen:
        document = dead_letters.read_letter(letter.path.read_bytes())
        with contextlib.suppress(KeyError, ValueError, RecursionError):  # shown as it came
            document["event"] = json.loads(document["event"])
        say(format_json(document))
    return EXIT_WARNING if missing else EXIT_OK


def run_replay(options: argparse.Namespace) -> int:
    """Send dead letters to the collector again."""
    if options.config_file is None or options.spool is not None:
        raise UsageError("a replay needs the CONFIG.ini with collector and key; it does not accept --spool")
    place = locate_spool(options)
    _need_choice(options, "reason", "--reason R")
    from . import replay  # noqa: PLC0415, an HTTP client, which the others do not need

    with letters.lock_letters(place.queues[0]):
        chosen, missing = _choose_letters(place, options)
        return replay.run_replay(place, chosen, dry_run=options.dry_run) or (
            EXIT_WARNING if missing else EXIT_OK
        )


def run_drop(options: argparse.Namespace) -> int:
    """Delete dead letters."""
    place = locate_spool(options)
    _need_choice(options, "older_than", "--older-than D")
    dropped = kept = 0
    chosen, missing = _choose_letters(place, options)
    if chosen and not options.yes:
        complain(f"would delete {count_noun(len(chosen), 'dead letter')}, the oldest of "
                 f"{chosen[0].died_at}; repeat with --yes")  # fmt: skip
        return EXIT_WARNING
    for queue in place.queues:
        if any(letter.path.parent.parent == queue for letter in chosen):
            with letters.lock_letters(queue):
                held = journal.hold_letters(queue / DEAD, {letter.path.name for letter in chosen}, Disk())
                for letter in chosen:
                    if letter.path.parent.parent == queue and letter.path.name not in held:
                        letter.path.unlink(missing_ok=True)
                        dropped += 1
                kept += len(held)
    if kept:
        complain(
            f"kept {kept:,}, since they belong to an interrupted replay with others; finish it, "
            f"`eventpub dead-letters replay {place.words} --all`, or drop all of its letters together"
        )
    say(f"dropped {dropped:,}")
    return EXIT_WARNING if kept or missing else EXIT_OK


def _find_letters(place: Place) -> tuple[list[Letter], list[str]]:
    """Return the dead letters of the chosen queues; complain about files that are not dead letters."""
    found: list[Letter] = []
    complaints: list[str] = []
    for queue in place.queues:
        of_queue, wrong = letters.find_letters(queue)
        found += of_queue
        complaints += wrong
    for text in complaints:
        complain(text)
    return sorted(found, key=lambda letter: letter.died_at), complaints


def _choose_letters(place: Place, options: argparse.Namespace) -> tuple[list[Letter], list[str]]:
    """Return the letters that ids and filters select; complain about ids without a letter."""
    found, _ = _find_letters(place)
    if options.ids:
        chosen, missing = letters.by_ids(found, options.ids)
        for text in missing:
            complain(text)
        return chosen, missing
    reason, older_than = getattr(options, "reason", None), getattr(options, "older_than", None)
    return [
        letter
        for letter in found
        if reason in (None, letter.reason) and (older_than is None or letter.age_seconds > older_than)
    ], []


def _need_choice(options: argparse.Namespace, filter_name: str, filter_text: str) -> None:
    given = [bool(options.ids), options.all, getattr(options, filter_name) is not None]
    if sum(given) != 1:
        raise UsageError(f"select the dead letters in one way: ID…, --all or {filter_text}")


def _summarize_letter(letter: Letter) -> dict[str, object]:
    return {
        "id": letter.id,
        "died_at": letter.died_at,
        "refused_at": letter.refused_at or None,
        "queue": letter.path.parent.parent.name,
        "reason": letter.reason,
        "status": letter.status,
        "detail": letter.detail,
        "batch_id": letter.batch_id,
        "index": letter.index,
        "attempts": letter.attempts,
        "event_bytes": letter.event_bytes,
        "file": str(letter.path),
    }


def _describe_row(letter: Letter) -> tuple[str, ...]:
    detail = "".join(character if character.isprintable() else " " for character in letter.detail)
    if len(detail) > _MAX_DETAIL_CHARACTERS:
        detail = detail[: _MAX_DETAIL_CHARACTERS - 1] + "…"
    queue = letter.path.parent.parent.name
    status = str(letter.status or "-")
    return letter.died_at, queue, letter.reason, status, letter.id, f"{letter.event_bytes:,}", detail


def _since_kind() -> ini.Kind[float]:
    """A point in time, or a duration until now, as the seconds since then."""
    ago = ini.seconds(0, _MAX_AGE_SECONDS)

    def parse(value: str) -> float:
        try:
            return ago.parse(value)
        except ValueError:
            then = datetime.fromisoformat(value.replace("Z", "+00:00"))
        then = then if then.tzinfo else then.replace(tzinfo=timezone.utc)
        return (datetime.now(timezone.utc) - then).total_seconds()

    return ini.Kind(parse, "a duration such as 2h or 7d, or a time in UTC such as 2026-01-31T12:00")
