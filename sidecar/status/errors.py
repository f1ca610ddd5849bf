"""What is wrong with a status."""

from __future__ import annotations

from eventpub.errors import EventPubError


class StatusError(EventPubError):
    """A status cannot be read."""
