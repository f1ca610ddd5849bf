"""How a handler ends the processing of an event, or of everything."""

from __future__ import annotations

from typing import Any

_NOTHING = object()


class StopProcessing(Exception):  # noqa: N818, a signal and no error, so `except EventPubError` lets it pass
    """Raise it in a handler, or in a filter, to have no further handler called for this event.

    Args:
        retval: left out, the events that handlers returned so far are processed all the same. Given, even as
            None, they are not, and `Processor.process` returns it at once.

    Attributes:
        retval: what was given; None if nothing was.
        has_retval: whether it was.
    """

    def __init__(self, retval: Any = _NOTHING) -> None:
        self.has_retval = retval is not _NOTHING
        super().__init__(*(retval,) if self.has_retval else ())

    @property
    def retval(self) -> Any:
        """What `Processor.process` returns."""
        return self.args[0] if self.has_retval else None
