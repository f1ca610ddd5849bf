"""Events handled in this process, by functions that say which events they want and which handlers go before them."""

from __future__ import annotations

from eventpub.processing.event import Event, Proc

__all__ = ["Event", "Proc"]
