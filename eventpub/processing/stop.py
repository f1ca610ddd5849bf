"""How a handler ends the processing of an event, or of everything."""

from __future__ import annotations

from typing import Any

_NOTHING = object()


class StopProcessing(Exception):  # noqa: N818, a signal and no error, so `except EventPubError` lets it pass
    """Raise it in a handler or a filter to call no further handler for this event.

    Args:
        retval: if given, even as None, `Processor.process` returns it at once, without processing the events
            that handlers returned; if left out, these are still processed.

    Attributes:
        retval: the given value; None if it was left out.
        has_retval: whether it was given.
    """

    def __init__(self, retval: Any = _NOTHING) -> None:
        self.has_retval = retval is not _NOTHING
        super().__init__(*(retval,) if self.has_retval else ())

    @property
    def retval(self) -> Any:
        """What `Processor.process` returns."""
        return self.args[0] if self.has_retval else None
