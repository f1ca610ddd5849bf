"""`eventpub queue resize`: give a queue another size while programs use it, and lose nothing."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from eventpub.queue import access
from eventpub.queue.kernel_limits import CEILING, QueueSize
from eventpub.queue.replacement import replace_queue
from eventpub.settings import ini

from . import host
from .arguments import add_command, parse_as
from .exit_codes import EXIT_OK, EXIT_USAGE, EXIT_WARNING
from .terminal import complain, say_facts

if TYPE_CHECKING:
    import argparse

    from eventpub.queue.replacement import Replacement

    from .arguments import Commands

_EPILOG = """\
examples:
  eventpub queue resize v2 --max-messages 10000
  eventpub queue resize v2 --max-messages 10000 --max-message-size '100 KiB'

Run it as root or as the queue's owner, at any time: another queue takes the place of the old one, with its
owner, mode and group, and what waits is moved. Sidecar and applications go on with it at once. Programs that do
not use eventpub are told that the queue is full until they are restarted. To keep the size after a reboot, put
it into the sidecar's INI file as well (max_queue_size, max_message_size).

exit codes: 0 it has that size   1 events are left in the old queue   69 no such queue, not yours, or the kernel
refuses the size: then all is as it was
"""
_RETRY_SECONDS = 0.01
_SAY_SECONDS = 2.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def add_resize(actions: Commands) -> argparse.ArgumentParser:
    """Declare the command."""
    parser = add_command(actions, "resize", help="give a queue another size while it is used", epilog=_EPILOG)
    parser.add_argument(
        "--max-messages",
        type=parse_as(ini.integer(1, CEILING.max_messages)),
        metavar="N",
        help="events it holds (default: as many as now)",
    )
    parser.add_argument(
        "--max-message-size",
        type=parse_as(ini.size(1, CEILING.max_message_size)),
        metavar="BYTES",
        help="bytes of an event (default: as many as now)",
    )
    parser.set_defaults(run=run_resize)
    return parser


def run_resize(options: argparse.Namespace) -> int:
    """Replace a queue by one of another size, and see to what lies in the old one."""
    if options.max_messages is None and options.max_message_size is None:
        complain("give --max-messages, --max-message-size or both")
        return EXIT_USAGE
    with host.open_to_look(options.name) as queue:
        before = queue.size
    size = QueueSize(options.max_messages or before.max_messages, options.max_message_size or before[1])
    if size == before:
        _report(options, f"holds {size} already", before, size)
        return EXIT_OK
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # a message must not be in hand when it is interrupted
    with replace_queue(options.name, size) as replacement:
        new = replacement.new
        text = f"resized from {before} to {new.size}, {access.describe_owner(new.status())}"
        _report(options, text, before, new.size)
        if _move_messages(replacement):
            return EXIT_OK
        complain(
            f"interrupted; messages left in the old queue ({replacement.left:,}) are lost without its sidecar"
        )
        return EXIT_WARNING


def _report(options: argparse.Namespace, text: str, before: QueueSize, size: QueueSize) -> None:
    facts = {"queue": options.name, "before": before._asdict(), "now": size._asdict()}
    say_facts(f"{options.name}: {text}", facts, as_json=options.json)


def _move_messages(replacement: Replacement) -> bool:
    """Move what lies in the old queue; return whether that was done before an interruption."""
    say_at = time.monotonic() + _SAY_SECONDS
    while not replacement.move_messages():
        if signal.sigtimedwait(_SIGNALS, _RETRY_SECONDS):
            return False
        if time.monotonic() >= say_at:
            say_at = float("inf")
            complain(
                f"events wait in the old queue ({replacement.left:,}) for room in the new one, or for its "
                "sidecar; start that if it does not run"
            )
    return True
