"""What a person does with a spool: the commands `eventpub dead-letters` and `eventpub spool`.

They work beside a running sidecar and without one, and keep to its rules: nothing in a slot changes while
somebody else holds its lock, and every change is one rename. `place` finds the spool, `letters` the dead
letters; `survey` says what is wrong with a slot, for `spool check` to print and for `repair` to mend.

Here the commands, and the sidecar itself, are only announced; their modules are imported when they are used.
"""

from __future__ import annotations

from eventpub.cli.extensions import Extension

DEAD_LETTERS = Extension(
    "list, show, send again and drop the events that the collector refused",
    "eventpub.sidecar.commands.dead_letters",
)
SIDECAR = Extension(
    "deliver the events of a queue to a collector, until stopped", "eventpub.sidecar.__main__", is_program=True
)
SPOOL = Extension(
    "look into a spool, check it, take events out of it, repair it", "eventpub.sidecar.commands.spool"
)
