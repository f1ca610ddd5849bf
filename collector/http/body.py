"""The body of one request: read in bounded time, and left alone where the answer does not need it.

pywsgi would read whatever an application leaves, without bound. Here the rest stays unread, `finished` says
so, and the connection ends with the answer.
"""

from __future__ import annotations

import gevent
from gevent import pywsgi


class Body(pywsgi.Input):  # type: ignore[misc]  # gevent has no types
    """What `wsgi.input` is.

    Args:
        source: the input pywsgi made, of which nothing was read.
        timeout_seconds: how long one `read` may take; whoever wants the whole body reads it at once.
    """

    def __init__(self, source: pywsgi.Input, timeout_seconds: float) -> None:
        super().__init__(source.rfile, source.content_length, source.socket, source.chunked_input)
        self._timeout_seconds = timeout_seconds
        self.bytes_read = 0

    @property
    def finished(self) -> bool:
        """Tell whether the request's last byte has been read."""
        if self.chunked_input:
            return self.chunk_length == 0 and not self._chunked_input_error
        return bool(self.position >= (self.content_length or 0))

    def read(self, length: int | None = None) -> bytes:
        """Return up to `length` bytes, fewer only at the end.

        Raises:
            TimeoutError: they did not arrive in time.
            OSError: the body ended early, or its chunks make no sense.
        """
        with gevent.Timeout(self._timeout_seconds, TimeoutError("the body did not arrive in time")):
            data: bytes = super().read(length)
        self.bytes_read += len(data)
        return data

    def _discard(self) -> None:
        """Leave the rest: pywsgi calls this after every answer."""
