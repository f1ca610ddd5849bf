"""eventpub inside web frameworks: a queue from the application's settings, and the request on every event.

`eventpub.integrations.baseplate`, `.pyramid`, `.flask`, `.django`, `.asgi` and `.wsgi` import only the
framework they are named after.
"""

from .jobs import dump_context, restored
from .request_context import bound, current_request, inherit_context, say, with_request

__all__ = ["bound", "current_request", "dump_context", "inherit_context", "restored", "say", "with_request"]
