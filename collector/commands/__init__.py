"""Announces the collector's commands to the command line: `eventpub collector` and `eventpub store`."""

from __future__ import annotations

from eventpub.cli.extensions import Extension

COLLECTOR = Extension(
    "take events over HTTP and store each once, until stopped",
    "eventpub.collector.__main__",
    is_program=True,
    parser_module="eventpub.collector.command_line",
)
STORE = Extension(
    "find, export and remove events that a collector has stored", "eventpub.collector.commands.store"
)
