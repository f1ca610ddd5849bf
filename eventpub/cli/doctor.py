"""`eventpub doctor`: finds what keeps events from being put and delivered, or soon will, and what mends it.

Without a configuration file it looks at the queues of this host. With one, the packages that read the file
bring what else there is to try: see the group `eventpub.doctor` in `extensions`.
"""

from __future__ import annotations

import logging
import os
import platform
from typing import TYPE_CHECKING

import eventpub
from eventpub.errors import ConfigError
from eventpub.queue import access, holders
from eventpub.queue.kernel_queue import POSIX_IPC_VERSION
from eventpub.queue.posix import HAS_QUEUES
from eventpub.queue.refusal import explain_absence

from .arguments import add_command, add_config_file, add_json, add_queue_name
from .findings import Finding, Level, report_findings, show_findings
from .queue_checks import examine_queues
from .terminal import say
from .wording import format_json

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from .arguments import Commands

_EPILOG = """\
examples:
  eventpub doctor                  check this user's limits and all queues
  eventpub doctor --queue-name v2  check a queue that an application will use
  eventpub doctor example.ini      try all that the sidecar of this file needs
  eventpub doctor example.ini --json

With a configuration file it tries what the sidecar will need: the queue, the
spool and its disk, the collector (addresses, certificate, clock, and a signed
empty batch, which stores nothing) and statsd. Run it as the sidecar's user.

exit codes: 0 all is well   1 warnings   2 events cannot be put or delivered
            64 wrong arguments
"""


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "doctor",
        help="find out what keeps events from being put and delivered, and how to fix it",
        epilog=_EPILOG,
    )
    add_config_file(parser)
    add_queue_name(parser, "all of the file, or all that can be seen")
    add_json(parser)
    parser.set_defaults(run=run_doctor)


def run_doctor(options: argparse.Namespace) -> int:
    """Print each finding as it is made, and return the code of the worst."""
    log = logging.getLogger("eventpub")
    before = log.level
    log.setLevel(logging.ERROR)  # the findings say everything
    try:
        return _show_all(options)
    finally:
        log.setLevel(before)


def _show_all(options: argparse.Namespace) -> int:
    if not HAS_QUEUES:
        return show_findings([Finding(Level.FAILING, explain_absence())]).value
    findings = _examine(options.config_file, options.queue_name)
    if options.json:
        report = report_findings(findings)
        say(format_json({**_describe_process(), **report}))
        return Level[str(report["level"]).upper()].value
    facts = _describe_process()
    say(
        f"eventpub {facts['eventpub']}, posix_ipc {facts['posix_ipc']}, "
        f"Python {facts['python']}, Linux {facts['linux']}, {facts['installed']}\n"
        f"user {facts['user']} ({facts['uid']}), umask {facts['umask']}, queues of {facts['namespace']}"
    )
    return show_findings(findings).value


def _describe_process() -> dict[str, object]:
    """Return what else matters of this process."""
    from . import extensions  # noqa: PLC0415, other commands do not pay for the look-up

    umask = os.umask(0)
    os.umask(umask)
    return {
        "eventpub": eventpub.__version__,
        "posix_ipc": POSIX_IPC_VERSION,
        "python": platform.python_version(),
        "linux": platform.release(),
        "installed": ", ".join(f"{name}={fact}" for name, fact in extensions.read_facts().items()),
        "user": access.user_name(os.geteuid()),
        "uid": os.geteuid(),
        "umask": f"{umask:04o}",
        "namespace": holders.read_namespace(),
    }


def _examine(config_file: str | None, name: str | None) -> Iterator[Finding]:
    """Check the queues, and then what each package has to say to the file."""
    wanted = [name] if name else []
    if config_file is None:
        yield from examine_queues(wanted)
        return
    from . import extensions  # noqa: PLC0415, see above

    examiners = extensions.load_examiners()
    found = {}
    try:
        for examiner in examiners:
            found[examiner] = examiner.list_queues(config_file)
    except ConfigError as error:
        yield Finding(Level.FAILING, str(error))
        return
    names = dict.fromkeys(wanted or [queue for queues in found.values() for queue in queues])
    if not names:
        text = f"{config_file}: has no section [event-publisher:NAME]"
        yield Finding(Level.FAILING, text, "see example.ini; a collector's file is tried by: "
                      f"eventpub collector --check-config {config_file}")  # fmt: skip
        return
    yield from examine_queues([*names])
    for examiner in examiners:
        for queue in names:
            yield from examiner.examine_config(config_file, queue)
