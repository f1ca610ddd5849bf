"""Announces the collector to the command line: `eventpub collector`."""

from __future__ import annotations

from eventpub.cli.extensions import Extension

COLLECTOR = Extension(
    "take events over HTTP and store each once, until stopped", "eventpub.collector.__main__", is_program=True
)
