"""Events with data and attachments; written to files, and converted to version 2 events."""

from __future__ import annotations

from .event import Event, unique_id

__all__ = ["Event", "unique_id"]
