"""`eventpub dev`: a collector with its page and a sidecar, in one command and without configuration.

It starts the programs of other packages as processes and imports none of them.
"""

from __future__ import annotations

from eventpub.cli.extensions import Extension

DEV = Extension("run a collector with its page and a sidecar, for development", "eventpub.dev.command")
