"""`eventpub dead-letters`: list, show, edit, replay and drop the events that the collector refused."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from eventpub.cli.arguments import add_command, add_json, parse_as
from eventpub.cli.errors import UsageError
from eventpub.cli.exit_codes import EXIT_OK, EXIT_WARNING
from eventpub.cli.terminal import complain, print_table, say, say_facts
from eventpub.cli.wording import count_noun, format_json
from eventpub.settings import ini
from eventpub.sidecar.spool import dead_letters
from eventpub.sidecar.spool.disk import Disk
from eventpub.sidecar.spool.folder import DEAD
from eventpub.sidecar.telemetry.reasons import DeadReason

from . import journal, letters
from .guard import guard_command
from .named import add_schema, name_event
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
  eventpub dead-letters edit --queue-name v2 example.ini 0f3a5b7c9d1e-12
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
            64 wrong arguments   73 no spool, no access   78 wrong configuration
"""
_SHOW_EPILOG = """\
examples:
  eventpub dead-letters show --queue-name v2 example.ini 0f3a5b7c9d1e-12
  eventpub dead-letters show --spool /var/spool/eventpub --all --json
  eventpub dead-letters show v2.ini 0f3a5b7c9d1e --schema eventpub.schemas.event.ttypes:Event

Shows version 2 events by the field names of the schema. A value that is not of its field's type stands as it
came, {"TYPE": VALUE}, and fields that the schema does not know stand under unknown_fields.

exit codes: 0 shown   1 no such letter
            64 wrong arguments   73 no spool, no access   78 wrong configuration
"""
_EDIT_EPILOG = """\
examples:
  eventpub dead-letters edit --queue-name v2 example.ini 0f3a5b7c9d1e-12
  eventpub dead-letters edit --queue-name v2 example.ini 0f3a5b7c9d1e-12 --schema any

Opens the event in $VISUAL or $EDITOR with the reason above it. What you save is checked against the schema,
takes its place in the dead letter, which keeps the original, and is sent to the collector of CONFIG.ini. Once
it is accepted, the letter is removed. An event that the editor leaves as it was is not sent.

exit codes: 0 accepted   1 not changed, not valid, or refused again
            2 no usable answer from the collector, or a replay is running or was interrupted
            64 wrong arguments, no terminal or no editor   73 no spool, or no access   78 wrong configuration
"""
_REPLAY_EPILOG = """\
examples:
  eventpub dead-letters replay --queue-name v2 example.ini --all --dry-run
  eventpub dead-letters replay --queue-name v2 example.ini --reason rejected --json
  eventpub dead-letters replay --queue-name v2 example.ini 0f3a5b7c9d1e-12

Sends the events to the collector of CONFIG.ini, signed with its current key. Accepted letters are removed;
refused ones stay, with the new reason. Repeat a replay that was interrupted or got no answer: events that the
collector has already are not stored again, as long as it remembers batch ids and key.name is the same.

exit codes: 0 all accepted   1 some stayed   2 no usable answer from the collector, or another replay is running
            64 wrong arguments   73 no spool, no access   78 wrong configuration
"""
_DROP_EPILOG = """\
examples:
  eventpub dead-letters drop --queue-name v2 example.ini 0f3a5b7c9d1e-12           say what would be deleted
  eventpub dead-letters drop --queue-name v2 example.ini --older-than 30d --yes
  eventpub dead-letters drop --spool /var/spool/eventpub --all --yes

exit codes: 0 dropped   1 not dropped: --yes is missing, or no such letter   2 a replay is running
            64 wrong arguments   73 no spool, no access   78 wrong configuration
"""
_REASONS = tuple(reason.value for reason in DeadReason)


def add_parser(commands: Commands) -> None:
    """Declare the commands."""
    parser = add_command(
        commands,
        "dead-letters",
        help="list, show, correct, send again and drop the events that the collector refused",
        epilog=_EPILOG,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    listing = add_command(actions, "list", help="list dead letters, the newest last", epilog=_LIST_EPILOG)
    add_place(listing)
    listing.add_argument("--reason", choices=_REASONS, help="only letters with this reason")
    listing.add_argument(
        "--since",
        type=parse_as(letters.since_kind()),
        metavar="WHEN",
        help="only letters since: 2h, 7d, 2026-01-31T12:00",
    )
    listing.add_argument("--json", action="store_true", help="one JSON object per line")
    listing.set_defaults(run=guard_command(run_list))

    show = add_command(actions, "show", help="show dead letters and their events", epilog=_SHOW_EPILOG)
    add_place(show)
    show.add_argument("--all", action="store_true", help="all letters")
    add_json(show, "one JSON object per line")
    add_schema(show)
    show.set_defaults(run=guard_command(run_show))

    edit = add_command(
        actions, "edit", help="correct a dead letter's event in an editor, and send it", epilog=_EDIT_EPILOG
    )
    add_place(edit)
    add_schema(edit)
    edit.set_defaults(run=guard_command(run_edit))

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
        type=parse_as(ini.seconds(0, letters.MAX_AGE_SECONDS)),
        metavar="D",
        help="letters older than: 30d",
    )
    drop.add_argument("--yes", action="store_true", help="do it")
    drop.set_defaults(run=guard_command(run_drop))

    for action in (show, edit, replay, drop):
        action.add_argument("ids", metavar="ID", nargs="*", help="ids, as shown by `list`")
    for action in (edit, replay, drop):
        add_json(action)
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
            say(format_json(letters.summarize_letter(letter), indent=None))
    elif found:
        header = ("DIED AT", "QUEUE", "REASON", "STATUS", "ID", "BYTES", "DETAIL")
        print_table(header, map(letters.describe_row, found))
    else:
        complain("there are no dead letters" + (" of that kind" if options.reason or options.since else ""))
    return EXIT_WARNING if complaints else EXIT_OK


def run_show(options: argparse.Namespace) -> int:
    """Show whole letters, as one JSON document each."""
    place = locate_spool(options)
    if bool(options.ids) == options.all:
        raise UsageError("select the dead letters in one way: ID… or --all")
    chosen, missing = _choose_letters(place, options)
    for letter in chosen:
        document = dead_letters.read_letter(letter.path.read_bytes())
        for name in ("event", "original_event"):
            with contextlib.suppress(KeyError, ValueError, RecursionError):  # shown as it came
                version = dead_letters.version_of(document)
                document[name] = name_event(document[name].encode(), options.schema, version)
        say(format_json(document, indent=None if options.json else 2))
    return EXIT_WARNING if missing else EXIT_OK


def run_edit(options: argparse.Namespace) -> int:
    """Correct one dead letter's event, and send it."""
    if options.config_file is None or options.spool is not None:
        raise UsageError("an edit needs the CONFIG.ini with collector and key; it does not accept --spool")
    place = locate_spool(options)
    chosen, missing = _choose_letters(place, options) if options.ids else ([], [])
    if missing:
        return EXIT_WARNING
    if len(chosen) != 1:
        raise UsageError(f"name one dead letter: ID (these are {len(chosen)})")
    from . import edit  # noqa: PLC0415, an HTTP client, which the others do not need

    return edit.edit_letter(place, chosen[0], options.schema, as_json=options.json)


def run_replay(options: argparse.Namespace) -> int:
    """Send dead letters to the collector again."""
    if options.config_file is None or options.spool is not None:
        raise UsageError("a replay needs the CONFIG.ini with collector and key; it does not accept --spool")
    place = locate_spool(options)
    _need_choice(options, "reason", "--reason R")
    from . import replay  # noqa: PLC0415, an HTTP client, which the others do not need

    with letters.lock_letters(place.queues[0]):
        chosen, missing = _choose_letters(place, options)
        code = replay.run_replay(place, chosen, dry_run=options.dry_run, as_json=options.json)
        return code or (EXIT_WARNING if missing else EXIT_OK)


def run_drop(options: argparse.Namespace) -> int:
    """Delete dead letters."""
    place = locate_spool(options)
    _need_choice(options, "older_than", "--older-than D")
    dropped = kept = 0
    chosen, missing = _choose_letters(place, options)
    if chosen and not options.yes:
        if options.json:
            facts = {"dropped": 0, "would_drop": len(chosen), "oldest_died_at": chosen[0].died_at}
            say(format_json(facts))
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
    say_facts(f"dropped {dropped:,}", {"dropped": dropped, "kept": kept}, as_json=options.json)
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
