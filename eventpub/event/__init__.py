"""Events with data and attachments: what an application tracks, as a file, and as a version 2 event."""

from __future__ import annotations

from .event import Event, unique_id

__all__ = ["Event", "unique_id"]
