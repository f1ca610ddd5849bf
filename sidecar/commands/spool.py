"""`eventpub spool`: status, check, export and repair of what a sidecar keeps on disk."""

from __future__ import annotations

import base64
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from eventpub.cli.arguments import add_command, add_json
from eventpub.cli.exit_codes import EXIT_FAILING, EXIT_OK, EXIT_WARNING
from eventpub.cli.terminal import complain, say, writing_output
from eventpub.cli.wording import count_noun, format_json
from eventpub.printable import escape_controls
from eventpub.sidecar.spool import records
from eventpub.sidecar.spool.folder import BACKUPS, DAMAGED

from . import pending, repair, survey
from .guard import explain_denied, guard_command
from .place import add_place, locate_spool

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable

    from eventpub.cli.arguments import Commands

    from .survey import Flaw

_EPILOG = """\
examples:
  eventpub spool status --queue-name v2 example.ini
  eventpub spool check --spool /var/spool/eventpub
  eventpub spool export --queue-name v2 example.ini --output events.jsonl
  eventpub spool repair --queue-name v2 example.ini --apply

All of them can be used while sidecars run; they never change a slot that a sidecar owns.
"""
_STATUS_EPILOG = """\
examples:
  eventpub spool status --queue-name v2 example.ini
  eventpub spool status --spool /var/spool/eventpub --json

exit codes: 0 shown
            64 wrong arguments   73 no spool, no access   78 wrong configuration
"""
_CHECK_EPILOG = """\
examples:
  eventpub spool check --queue-name v2 example.ini
  eventpub spool check --spool /var/spool/eventpub
  eventpub spool check --queue-name v2 example.ini --json

Reads every file, and compares it with its checksums and its name. Damage does not keep a sidecar from working:
it removes damaged records when it sends a batch, counts them, and keeps a copy.

exit codes: 0 intact   1 damage was found   2 something could not be read
            64 wrong arguments   73 no spool, no access   78 wrong configuration
"""
_EXPORT_EPILOG = """\
examples:
  eventpub spool export --queue-name v2 example.ini --output events.jsonl
  eventpub spool export --spool /var/spool/eventpub --damaged > events.jsonl

Writes each pending event, oldest first, as a line of JSON; an event that is not JSON as {"event_base64":
"..."}. The events stay in the spool. Intact records of damaged files are written too.

exit codes: 0 all written   1 some files are damaged   2 something could not be read or written
            64 wrong arguments   73 no spool, no access   78 wrong configuration
"""
_REPAIR_EPILOG = """\
examples:
  eventpub spool repair --queue-name v2 example.ini             print the plan
  eventpub spool repair --queue-name v2 example.ini --apply     carry it out

In slots that no sidecar owns: removes damaged records, seals open batches, finishes splits. A backup of every
changed file goes to QUEUE/repaired/; when backups take as much as dead_letters.max_size allows, nothing is
changed until an operator removes some. The next sidecar counts what was removed, as dropped.damaged. It can be
interrupted and repeated. A sidecar does the same when it starts and when it sends; use this to see the changes
first.

exit codes: 0 nothing is left to repair   1 there is something to repair, and --apply was not given
            2 something could not be repaired
            64 wrong arguments   73 no spool, not yours   78 wrong configuration
"""


def add_parser(commands: Commands) -> None:
    """Declare the commands."""
    parser = add_command(
        commands, "spool", help="look into a spool, check it, take events out of it, repair it", epilog=_EPILOG
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    shown = add_command(
        actions, "status", help="show pending batches and each slot's owner", epilog=_STATUS_EPILOG
    )
    add_json(shown)
    shown.set_defaults(run=guard_command(run_status))

    check = add_command(actions, "check", help="read every file and report damage", epilog=_CHECK_EPILOG)
    add_json(check, "one JSON object per line: what is wrong with which file")
    check.set_defaults(run=guard_command(run_check))

    export = add_command(actions, "export", help="write pending events as JSON lines", epilog=_EXPORT_EPILOG)
    export.add_argument("--output", type=Path, metavar="FILE", help="a new file (default: standard output)")
    export.add_argument("--damaged", action="store_true", help="include copies of damaged or repaired files")
    export.set_defaults(run=guard_command(run_export))

    mend = add_command(actions, "repair", help="repair slots that no sidecar owns", epilog=_REPAIR_EPILOG)
    mend.add_argument("--apply", action="store_true", help="carry it out; without it, only print the plan")
    add_json(mend, "one JSON object per line: what is wrong with which file, and which slot was repaired")
    mend.set_defaults(run=guard_command(run_repair))

    for action in (shown, check, export, mend):
        add_place(action)


def run_status(options: argparse.Namespace) -> int:
    """Show pending batches."""
    pending.show_pending(locate_spool(options), as_json=options.json)
    return EXIT_OK


def run_check(options: argparse.Namespace) -> int:
    """Read everything, and report damage."""
    place = locate_spool(options)
    code = EXIT_OK
    for queue in place.queues:
        for slot in survey.list_slots(queue):
            code = max(code, _report_flaws(survey.examine_slot(slot), as_json=options.json))
        code = max(code, _report_flaws(survey.examine_letters(queue), as_json=options.json))
    if not options.json:
        say({EXIT_OK: "sound", EXIT_WARNING: "damage was found"}.get(code, "something could not be read"))
    return code


def run_export(options: argparse.Namespace) -> int:
    """Write the pending events."""
    place = locate_spool(options)
    files = [
        path for queue in place.queues for slot in survey.list_slots(queue) for path in survey.batch_files(slot)
    ]
    if options.damaged:
        for folder in (queue / name for queue in place.queues for name in (DAMAGED, BACKUPS)):
            files += sorted(path for path in folder.rglob("*") if path.is_file())
    if options.output is None:
        with writing_output():
            return _export_files(files, sys.stdout.buffer, _format_shown)
    try:
        opened = os.fdopen(os.open(options.output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except FileExistsError:
        complain(f"{options.output}: exists already; name a new file, or remove it")
        return EXIT_FAILING
    with opened:
        return _export_files(files, opened, _format_line)


def run_repair(options: argparse.Namespace) -> int:
    """Print what there is to repair, or repair it."""
    return repair.run_repair(locate_spool(options), apply=options.apply, as_json=options.json)


def _report_flaws(flaws: Iterable[Flaw], *, as_json: bool) -> int:
    code = EXIT_OK
    for flaw in flaws:
        if as_json:
            say(format_json(flaw.to_facts(), indent=None))
        else:
            say(str(flaw))
        code = max(code, EXIT_FAILING if flaw.unreadable else EXIT_WARNING if flaw.damage else EXIT_OK)
    return code


def _export_files(files: Iterable[Path], target: BinaryIO, form: Callable[[bytes], bytes]) -> int:
    code, events, read = EXIT_OK, 0, 0
    for path in files:
        try:
            contents = records.read_records(path.read_bytes())
        except FileNotFoundError:  # delivered meanwhile
            continue
        except OSError as error:
            complain(
                explain_denied(error) if isinstance(error, PermissionError) else f"{path}: {error.strerror}"
            )
            code = EXIT_FAILING
            continue
        if contents.damaged and (contents.events or contents.batch_id):
            code = max(code, EXIT_WARNING)
            complain(f"{path}: is damaged; wrote its intact records: {len(contents.events):,}")
        target.writelines(form(event) for event in contents.events)
        events += len(contents.events)
        read += 1
    target.flush()
    complain(f"wrote {count_noun(events, 'event')} of {count_noun(read, 'file')}")
    return code


def _format_line(event: bytes) -> bytes:
    """Return an event as one line of JSON, unchanged if it is one already."""
    try:
        json.loads(event.decode())
    except (ValueError, RecursionError):  # no UTF-8, no JSON, or more than is fit to be read
        return json.dumps({"event_base64": base64.b64encode(event).decode()}).encode() + b"\n"
    return event.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n"  # they stand between tokens only


def _format_shown(event: bytes) -> bytes:
    """Return the line for standard output, which may be a terminal: the same JSON, but nothing controls it."""
    return escape_controls(_format_line(event).decode()).encode()
