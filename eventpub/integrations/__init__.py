"""eventpub inside web frameworks: a queue from the application's settings, events that say their request.

`eventpub.integrations.baseplate`, `.pyramid`, `.flask`, `.django`, `.asgi` and `.wsgi` need what they are named
after and nothing else.
"""

from .request_context import bound, current_request, inherit_context, with_request

__all__ = ["bound", "current_request", "inherit_context", "with_request"]
