"""`eventpub where UUID`: where one event is, since when, and what happens to it next.

The order is that of the pipeline: the kernel queue, which only the sidecar may look into, as looking takes; the
open batch and the spool; the dead letters; the collector's store, by `eventpub store find` in a process of its
own, since a sidecar's host need not have the collector's code.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from typing import TYPE_CHECKING
from uuid import UUID

from eventpub.cli import host
from eventpub.cli.arguments import add_command, add_json
from eventpub.cli.exit_codes import EXIT_FAILING, EXIT_OK, EXIT_WARNING
from eventpub.cli.terminal import say, say_styled
from eventpub.cli.wording import count_noun, format_json
from eventpub.errors import QueueError, QueueMissingError
from eventpub.sidecar.host import default_spool_dir
from eventpub.sidecar.status.ask import Asked, Condition, ask_slot, find_slots, find_spools

from .guard import explain_denied, guard_command
from .judgement import judge_silence
from .overview import SlotSight
from .place import Place, add_place, locate_spool
from .screen import say_labelled
from .search import Searched, Sighting, Spot, read_store_line, search_letters, search_slot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from eventpub.cli.arguments import Commands

_STORE_SECONDS = 60.0
_HOLDING = frozenset(
    {"frozen", "refused", "overdue"}
)  # troubles that keep an event that is on disk from delivery
_EPILOG = """\
examples:
  eventpub where 3f0c0a2e-8f7e-4b57-9d8e-2f3a0c1d4e5f example.ini
  eventpub where 3f0c0a2e-8f7e-4b57-9d8e-2f3a0c1d4e5f
      in all spools of this host
  eventpub where 3f0c0a2e-8f7e-4b57-9d8e-2f3a0c1d4e5f --store collector.ini
      in the collector's store, too

Looks for the event's uuid in the open batch, the spool, the dead letters and,
with --store, what the collector has stored. Messages in the kernel queue cannot
be looked at without taking them; a sidecar that runs takes them at once.

exit codes: 0 found   1 not found   2 some places could not be looked at
            64 wrong arguments   73 no spool, no access   78 wrong configuration
"""


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands, "where", help="find one event: queue, spool, dead letters, store", epilog=_EPILOG
    )
    parser.add_argument("uuid", type=_parse_uuid, metavar="UUID", help="the event's uuid")
    add_place(parser)
    parser.add_argument(
        "--store", metavar="STORE", help="the collector's INI file or its store, as for `eventpub store find`"
    )
    add_json(parser)
    parser.set_defaults(run=guard_command(run_where))


def run_where(options: argparse.Namespace) -> int:
    """Look everywhere, and say where the event is, or where it was looked for."""
    searched, sightings = Searched(), list[Sighting]()
    looked, blocked = list[str](), list[str]()
    for queue in _find_queues(options, blocked):
        try:
            for slot in find_slots(queue.parent, queue.name):
                sightings += search_slot(slot, options.uuid, searched)
            sightings += search_letters(queue, options.uuid, searched)
        except PermissionError as error:
            blocked.append(explain_denied(error))
        looked.append(f"{queue}: the spool and the dead letters")
        looked.append(_describe_queue(queue.name))
    if options.store:
        found, trouble = _search_store(options.store, options.uuid)
        sightings += found
        (blocked if trouble else looked).append(trouble or f"{options.store}: what the collector has stored")
    else:
        looked.append("the collector's store was not looked at; name it: --store collector.ini")
    code = (
        EXIT_OK if any(not seen.is_mention for seen in sightings) else EXIT_FAILING if blocked else EXIT_WARNING
    )
    if options.json:
        say(format_json(_report(options.uuid, sightings, searched, looked, blocked)))
        return code
    for sighting in sightings:
        _show_sighting(sighting)
    if code != EXIT_OK:
        batches = count_noun(searched.batches, "batch", "batches")
        through = f"{count_noun(searched.events, 'event')} in {batches} and "
        through += count_noun(searched.letters, "dead letter")
        say_styled("not found", "bold", f": {options.uuid}; looked through {through}:")
        for text in looked:
            say(f"  {text}")
    for text in blocked:
        say_styled("  not looked at", "yellow", f": {text}")
    return code


def _parse_uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an event's uuid, of 32 hexadecimal digits") from None


def _find_queues(options: argparse.Namespace, blocked: list[str]) -> tuple[Path, ...]:
    """Return the folders of the queues to look through: those that are named, or all of this host.

    Spools of the latter that this user may not look into are added to `blocked`.
    """
    if options.config_file is not None or options.spool is not None:
        place: Place = locate_spool(options)
        return place.queues
    found = []
    for spool in sorted({*find_spools(), default_spool_dir()}):
        try:
            found += [path for path in sorted(spool.iterdir()) if path.is_dir()]
        except PermissionError as error:
            blocked.append(explain_denied(error))
        except OSError:  # not there
            continue
    return tuple(path for path in found if options.queue_name in (None, path.name))


def _describe_queue(name: str) -> str:
    try:
        with host.open_to_look(name) as queue:
            waiting = queue.depth()
    except QueueMissingError:
        return f"queue {name}: is not there"
    except QueueError as error:
        return f"queue {name}: {error}"
    if not waiting:
        return f"queue {name}: nothing waits in it"
    messages = count_noun(waiting, "message")
    return f"queue {name}: {messages} that only its sidecar can look into: see eventpub status"


def _search_store(store: str, uuid: str) -> tuple[list[Sighting], str]:
    """Return what the store has, or why it cannot be read."""
    command = [sys.executable, "-m", "eventpub", "store", "find", "--uuid", uuid, store]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_STORE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return [], f"{store}: the store did not answer in {_STORE_SECONDS:g} s"
    if done.returncode not in (EXIT_OK, EXIT_WARNING):
        return [], f"{store}: {done.stderr.strip().removeprefix('eventpub: ') or 'the store cannot be read'}"
    return [read_store_line(line, store, uuid) for line in done.stdout.splitlines()], ""


def _show_sighting(sighting: Sighting) -> None:
    what = "mentioned in" if sighting.is_mention else "in"
    say_styled(f"{what} {sighting.spot.value}", "bold", f" since {sighting.since or 'an unknown time'}")
    say_labelled("where", sighting.place)
    if sighting.batch_id:
        say_labelled("batch", f"{sighting.batch_id}, {sighting.detail}")
    for text in _tell_next(sighting):
        say_labelled("next", text)


def _tell_next(sighting: Sighting) -> Iterator[str]:
    """Say what happens to an event next, by what its sidecar says of itself now."""
    from pathlib import Path  # noqa: PLC0415, for this only

    path = Path(sighting.place)
    if sighting.spot is Spot.STORE:
        yield "nothing: the collector has it"
    elif sighting.spot is Spot.DEAD_LETTER:
        name = path.stem.partition("-")
        words = f"--queue-name {path.parent.parent.name} --spool {path.parent.parent.parent}"
        yield f"nothing by itself; eventpub dead-letters show {words} {name[0][:12]}-{int(name[2] or 0)}"
    else:
        slot = path.parent if path.parent.name.isdecimal() else path.parent.parent
        asked = ask_slot(slot)
        record = asked.record
        holding = [trouble for trouble in record.troubles if trouble.code in _HOLDING] if record else []
        if record is None:
            yield from _tell_silence(asked)
        elif holding:
            yield f"waits: {holding[0].words}"
        elif sighting.spot is Spot.OPEN_BATCH:
            yield "sealed within batch.max_age, then posted"
        elif record.delivery.next_attempt_at is not None and record.delivery.last_refusal:
            seconds = max(0.0, record.delivery.next_attempt_at - time.time())
            yield f"posted in {seconds:.0f} s; the last attempt: {record.delivery.last_refusal.words}"
        else:
            yield "posted now"


def _tell_silence(asked: Asked) -> Iterator[str]:
    """Say what becomes of an event in a slot whose sidecar says nothing."""
    queue, number = asked.slot.parent.name, asked.slot.name
    if asked.condition is Condition.DEAD:
        yield (
            f"delivered once a sidecar of queue {queue} starts, for nobody holds slot {number}: "
            f"systemctl start eventpub-sidecar@{queue}"
        )
    else:
        yield f"delivered by the sidecar that holds slot {number}; it is {asked.condition.value}: {asked.words}"
        for finding in judge_silence(SlotSight(asked), "", has_others=True):
            yield from filter(None, [finding.remedy])


def _report(
    uuid: str, sightings: list[Sighting], searched: Searched, looked: list[str], blocked: list[str]
) -> dict[str, object]:
    return {
        "uuid": uuid,
        "found": any(not sighting.is_mention for sighting in sightings),
        "sightings": [
            {
                "in": sighting.spot.value,
                "where": sighting.place,
                "since": sighting.since or None,
                "batch_id": sighting.batch_id or None,
                "detail": sighting.detail,
                "is_mention": sighting.is_mention,
                "next": " ".join(_tell_next(sighting)),
            }
            for sighting in sightings
        ],
        "searched": {"batches": searched.batches, "events": searched.events, "dead_letters": searched.letters},
        "looked_at": looked,
        "not_looked_at": blocked,
    }
