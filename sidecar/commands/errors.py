"""What ends a command on a spool, besides what `spool` raises; `guard_command` turns it into an exit code."""

from __future__ import annotations

from eventpub.errors import EventPubError


class BusyError(EventPubError):
    """Another process is using the files: wait and try again."""
