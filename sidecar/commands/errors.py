"""What ends a command on a spool; `guard_command` turns each into its exit code."""

from __future__ import annotations

from eventpub.errors import EventPubError


class UsageError(EventPubError):
    """The command line is wrong in a way that the parser cannot check."""


class BusyError(EventPubError):
    """Another process is using the files: wait and try again."""
