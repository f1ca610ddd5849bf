"""Commands for operators: `eventpub dead-letters` and `eventpub spool`.

They work with or without a running sidecar, and keep its rules: nothing in a slot changes while another process
holds its lock, and every change is one rename. `place` finds the spool, `letters` the dead letters; `survey`
says what is wrong with a slot, which `spool check` prints and `repair` fixes.

This module only announces the commands and the sidecar; their modules are imported when they are used.
"""

from __future__ import annotations

from eventpub.cli.extensions import Extension

DEAD_LETTERS = Extension(
    "list, show, correct, send again and drop the events that the collector refused",
    "eventpub.sidecar.commands.dead_letters",
)
SIDECAR = Extension(
    "deliver the events of a queue to a collector, until stopped",
    "eventpub.sidecar.__main__",
    is_program=True,
    parser_module="eventpub.sidecar.cli",
)
SPOOL = Extension("inspect, check, export and repair a spool", "eventpub.sidecar.commands.spool")
TAP = Extension("show the events that pass through a queue", "eventpub.sidecar.commands.tap")
STATUS = Extension(
    "show this host's queues and sidecars, and what is wrong", "eventpub.sidecar.commands.status"
)
TOP = Extension("watch what the sidecars of this host do", "eventpub.sidecar.commands.top")
WHERE = Extension("find one event: queue, spool, dead letters, store", "eventpub.sidecar.commands.where")
