"""`eventpub queue`: list, show, create, resize and drop queues."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from eventpub.errors import QueueError, QueuePermissionError
from eventpub.queue import access, holders, kernel_limits
from eventpub.queue.kernel_limits import CEILING
from eventpub.queue.message_queue import MessageQueue, remove_queue
from eventpub.queue.replacement import drop_queue
from eventpub.settings import ini

from . import host
from .arguments import add_command, add_json, parse_as, queue_name
from .exit_codes import EXIT_OK, EXIT_UNAVAILABLE, EXIT_WARNING
from .resize import add_resize
from .terminal import complain, print_table, say, say_facts
from .wording import format_json

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from .arguments import Commands

_EPILOG = """\
examples:
  eventpub queue list
  eventpub queue show v2
  eventpub queue create v2 --mode 0620 --group www-data
  eventpub queue resize v2 --max-messages 10000
  eventpub queue drop v2 --yes

The user who creates a queue owns it. To change its mode or group, drop the queue and create it again; to change
its size, `eventpub queue resize` does both at once. Sidecar and applications switch to the new one.
"""
_LIST_EPILOG = """\
examples:
  eventpub queue list
  eventpub queue list --json | jq .waiting

exit codes: 0 listed   1 no mqueue file system shows the queues
"""
_SHOW_EPILOG = """\
examples:
  eventpub queue show v2
  eventpub queue show v2 --json

exit codes: 0 shown   69 no such queue, or no access
"""
_CREATE_EPILOG = """\
examples:
  eventpub queue create v2                                        as large as the kernel allows
  eventpub queue create v2 --mode 0620 --group www-data           for applications of that group to send to
  eventpub queue create v2 --max-messages 10 --max-message-size '8 KiB'

exit codes: 0 the queue is as wanted   1 it existed already, and differs   69 the kernel refuses it
"""
_DROP_EPILOG = """\
examples:
  eventpub queue drop v2           refused while events wait in it
  eventpub queue drop v2 --yes     drops it with the events in it

exit codes: 0 dropped   1 events wait in it, or came meanwhile and are kept   69 no such queue, or not yours
"""


def add_parser(commands: Commands) -> None:
    """Declare the commands."""
    parser = add_command(commands, "queue", help="list, show, create, resize and drop queues", epilog=_EPILOG)
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    listing = add_command(actions, "list", help="list all queues", epilog=_LIST_EPILOG)
    add_json(listing, "one JSON object per line")
    listing.set_defaults(run=run_list)

    show = add_command(actions, "show", help="show one queue and who uses it", epilog=_SHOW_EPILOG)
    add_json(show)
    show.set_defaults(run=run_show)

    create = add_command(actions, "create", help="create a queue", epilog=_CREATE_EPILOG)
    create.add_argument(
        "--max-messages",
        type=parse_as(ini.integer(1, CEILING.max_messages)),
        metavar="N",
        help="events it holds (default: what the kernel allows, up to 10,000)",
    )
    create.add_argument(
        "--max-message-size",
        type=parse_as(ini.size(1, CEILING.max_message_size)),
        metavar="BYTES",
        help="bytes of an event (default: what the kernel allows, up to 102,400)",
    )
    create.add_argument(
        "--mode",
        type=parse_as(ini.file_mode()),
        default=access.DEFAULT_MODE,
        help="permission bits (default: 0600)",
    )
    create.add_argument("--group", help="its group (default: this user's)")
    create.set_defaults(run=run_create)

    resize = add_resize(actions)

    drop = add_command(actions, "drop", help="remove a queue", epilog=_DROP_EPILOG)
    drop.add_argument("--yes", action="store_true", help="even if events wait in it")
    drop.set_defaults(run=run_drop)

    for action in (create, resize, drop):
        add_json(action)
    for action in (show, create, resize, drop):
        action.add_argument("name", type=queue_name, metavar="NAME", help="the queue")


def run_list(options: argparse.Namespace) -> int:
    """List the queues in columns."""
    folder = host.mqueue_folder()
    if folder is None:
        complain(f"no mqueue file system shows the queues; mount it, as root: {host.MOUNT_COMMAND}")
        return EXIT_WARNING
    names = host.queue_names(folder)
    if options.json:
        for name in names:
            say(format_json(_summarize_queue(name), indent=None))
    else:
        header = ("QUEUE", "EVENTS", "OF", "BYTES EACH", "OWNER")
        print_table(header, [_describe_row(folder, name) for name in names])
    return EXIT_OK


def run_show(options: argparse.Namespace) -> int:
    """Show everything about one queue."""
    with host.open_to_look(options.name) as queue:
        if options.json:
            say(format_json(_report_queue(queue)))
            return EXIT_OK
        status = queue.status()
        rows = {
            "queue": queue.name,
            "waiting": f"{queue.depth():,} of {queue.max_messages:,} events",
            "event size": f"up to {queue.max_message_size:,} bytes",
            "counted": f"{kernel_limits.need_bytes(queue.size):,} bytes of its creator's RLIMIT_MSGQUEUE",
            "owner": f"{access.describe_owner(status)}{access.describe_readers(status)}",
            "open in": ", ".join(map(str, holders.find_holders(queue.name)))
            or "no process that this user may inspect",
        }
    for label, text in rows.items():
        say(f"{label + ':':12} {text}")
    return EXIT_OK


def run_create(options: argparse.Namespace) -> int:
    """Create a queue, or say how the existing one differs."""
    wish = access.Wish(options.max_messages, options.max_message_size, options.mode, options.group)
    with MessageQueue.open(options.name, **wish._asdict()) as queue:
        status = queue.status()
        outcome, differences = "created" if queue.created else "was there", wish.differences(queue.size, status)
        facts = {**_report_queue(queue), "created": queue.created, "differences": differences or None}
        text = f"{options.name}: {outcome}, {queue.size}, {access.describe_owner(status)}"
        say_facts(text, facts, as_json=options.json)
        return EXIT_WARNING if differences else EXIT_OK


def run_drop(options: argparse.Namespace) -> int:
    """Remove a queue, but not with events in it unless --yes is given."""
    if options.yes:
        return _drop_with_contents(options.name, as_json=options.json)
    try:
        queue = MessageQueue.open(options.name, create=False)
    except QueuePermissionError as error:  # its owner may remove it even if its mode denies opening it
        complain(f"{error}; its owner can drop it, contents unchecked, with --yes")
        return EXIT_UNAVAILABLE
    with queue:
        if waiting := queue.depth():
            complain(f"{queue.name}: holds events ({waiting:,}); start its sidecar, or drop them with --yes")
            return _report_kept(queue.name, waiting, as_json=options.json)
        users = _find_users(queue.name)
        if late := drop_queue(queue):
            complain(f"{queue.name}: events arrived just now ({late:,}), so it was created again with them")
            return _report_kept(queue.name, late, as_json=options.json)
    _report_drop(queue.name, 0, users, as_json=options.json)
    return EXIT_OK


def _drop_with_contents(name: str, *, as_json: bool) -> int:
    users = _find_users(name)
    waiting: int | None = None
    with contextlib.suppress(QueuePermissionError), host.open_to_look(name) as queue:
        waiting = queue.depth()
    remove_queue(name)
    _report_drop(name, waiting, users, as_json=as_json)
    return EXIT_OK


def _find_users(name: str) -> list[str]:
    here = holders.read_namespace()
    return [str(user) for user in holders.find_holders(name) if user.namespace == here and not user.removed]


def _report_kept(name: str, waiting: int, *, as_json: bool) -> int:
    if as_json:
        say(format_json({"queue": name, "dropped": False, "waiting": waiting}))
    return EXIT_WARNING


def _report_drop(name: str, waiting: int | None, users: list[str], *, as_json: bool) -> None:
    """Say who still has it open: the kernel keeps it until the last one closes it."""
    text = f"{name}: dropped, {'unseen' if waiting is None else f'events in it: {waiting:,}'}"
    if users:
        text += (
            f"\nstill open in {', '.join(users)}: eventpub switches to the next queue of this name within a "
            "second; restart other programs, which are told that it is full"
        )
    facts = {"queue": name, "dropped": True, "waiting": waiting, "still_open_in": users}
    say_facts(text, facts, as_json=as_json)


def _summarize_queue(name: str) -> dict[str, object]:
    try:
        with host.open_to_look(name) as queue:
            return _report_queue(queue)
    except QueueError as error:
        return {"queue": name, "error": str(error)}


def _report_queue(queue: MessageQueue) -> dict[str, object]:
    """Return the facts of a queue as `--json` has them."""
    status = queue.status()
    return {
        "queue": queue.name,
        "waiting": queue.depth(),
        "max_messages": queue.max_messages,
        "max_message_bytes": queue.max_message_size,
        "counted_bytes": kernel_limits.need_bytes(queue.size),
        "owner_uid": status.st_uid,
        "mode": f"{status.st_mode & 0o777:04o}",
        "open_in": [
            {"pid": user.pid, "command": user.command, "removed": user.removed}
            for user in holders.find_holders(queue.name)
        ],
    }


def _describe_row(folder: Path, name: str) -> tuple[str, ...]:
    try:
        with host.open_to_look(name) as queue:
            numbers = (queue.depth(), queue.max_messages, queue.max_message_size)
            return name, *(f"{number:,}" for number in numbers), access.describe_owner(queue.status())
    except QueueError:
        return name, "?", "?", "?", access.describe_owner((folder / f"events-{name}").stat())
