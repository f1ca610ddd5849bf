"""What `eventpub doctor` finds, and how it prints it: each once, with what mends it."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from .exit_codes import EXIT_FAILING, EXIT_OK, EXIT_WARNING
from .terminal import say, say_styled

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Level(enum.Enum):
    """How bad a finding is: its exit code."""

    OK = EXIT_OK
    WARNING = EXIT_WARNING
    FAILING = EXIT_FAILING


_STYLES = {Level.OK: "green", Level.WARNING: "yellow", Level.FAILING: "red"}


class Finding(NamedTuple):
    """One thing that was checked; `remedy` is what to run or to change."""

    level: Level
    text: str
    remedy: str = ""


class Examiner(Protocol):
    """A module that another package brings, for its part of a configuration file."""

    def list_queues(self, config_file: str) -> list[str]:
        """Return the queues that the file configures.

        Raises:
            ConfigError: it cannot be read.
        """

    def examine_config(self, config_file: str, queue_name: str) -> Iterator[Finding]:
        """Try all that the configuration of a queue needs."""


def show_findings(findings: Iterable[Finding]) -> Level:
    """Print findings as they are made, each once, and each remedy once; return the worst level."""
    worst = Level.OK
    said: set[object] = set()
    for finding in findings:
        if finding in said:
            continue
        say_styled(f"{finding.level.name.lower():8}", _STYLES[finding.level], f" {finding.text}")
        if finding.remedy and finding.remedy not in said:
            say("".join(f"         {line}\n" for line in finding.remedy.splitlines()).rstrip())
        said |= {finding, finding.remedy}
        worst = find_worst((worst, finding.level))
    return worst


def report_findings(findings: Iterable[Finding]) -> dict[str, object]:
    """Return findings as `--json` has them: the worst level, and each finding once."""
    each = list(dict.fromkeys(findings))
    return {
        "level": find_worst(finding.level for finding in each).name.lower(),
        "findings": [
            {"level": finding.level.name.lower(), "text": finding.text, "remedy": finding.remedy or None}
            for finding in each
        ],
    }


def find_worst(levels: Iterable[Level]) -> Level:
    """Return the worst of some levels; OK of none."""
    return max(levels, key=lambda level: level.value, default=Level.OK)
