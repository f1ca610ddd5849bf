"""`eventpub status`: this host's queues and sidecars on one screen, the verdict first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventpub.cli.arguments import add_command, add_config_file, add_json, add_queue_name
from eventpub.cli.findings import Level, find_worst
from eventpub.cli.terminal import say, say_styled
from eventpub.cli.wording import format_json

from .guard import guard_command
from .judgement import WORDS, judge_host
from .overview import look_at_host, report_facts
from .screen import say_folded, say_labelled, show_overview

if TYPE_CHECKING:
    import argparse

    from eventpub.cli.arguments import Commands
    from eventpub.cli.findings import Finding

    from .overview import Overview

_STYLES = {Level.OK: "green", Level.WARNING: "yellow", Level.FAILING: "red"}
_EPILOG = """\
examples:
  eventpub status                     all that can be found on this host
  eventpub status example.ini         the sidecars of a configuration file
  eventpub status --queue-name v2 --json

Asks each sidecar by the socket beside its slot, and reads from disk what one
has left that does not answer. Run it as the sidecar's user, or as root.

exit codes: 0 OK   1 DEGRADED: something needs a look   2 FAILING: events are
            not delivered, or cannot be put   64 wrong arguments
            78 wrong configuration
"""


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands, "status", help="show this host's queues and sidecars, and what is wrong", epilog=_EPILOG
    )
    add_config_file(parser)
    add_queue_name(parser, "all of the file, or all that can be found")
    add_json(parser)
    parser.set_defaults(run=guard_command(run_status))


def run_status(options: argparse.Namespace) -> int:
    """Show the verdict, what is wrong, and all there is; return the verdict's code."""
    overview = look_at_host(options.config_file, options.queue_name)
    findings = judge_host(overview)
    worst = find_worst(finding.level for finding in findings)
    if options.json:
        say(format_json(_report(overview, findings, worst)))
        return worst.value
    if not findings:
        nothing = "" if overview.services else ": there are no queues and no sidecars that this user may see"
        say_styled("OK", "green", nothing)
    for number, finding in enumerate(findings):
        head = f"{WORDS[finding.level]}: " if number == 0 else "  also: "
        say_folded(head, _STYLES[finding.level], finding.text)
        if finding.remedy:
            say_labelled("", f"-> {finding.remedy}")
    show_overview(overview)
    return worst.value


def _report(overview: Overview, findings: list[Finding], worst: Level) -> dict[str, object]:
    return {
        "verdict": WORDS[worst],
        "findings": [
            {"level": WORDS[finding.level], "text": finding.text, "remedy": finding.remedy or None}
            for finding in findings
        ],
        **report_facts(overview),
    }
