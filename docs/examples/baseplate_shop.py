"""A tea shop on baseplate; `baseplate-serve` would open the server context for each request."""

import os

from baseplate import Baseplate, RequestContext

from eventpub.integrations import with_request
from eventpub.integrations.baseplate import EventQueueParser, RequestContextObserver
from eventpub.schemas.event.ttypes import Event

app_config = {"events_v2.queue_name": os.environ.get("SHOP_QUEUE", "v2")}  # from the INI file

baseplate = Baseplate(app_config)
baseplate.register(RequestContextObserver())
baseplate.configure_context({"events_v2": EventQueueParser()})


def buy(context: RequestContext, tea: str) -> None:
    """Sell tea; the event says which request sold it."""
    context.events_v2.put(with_request(Event(source="shop", action="buy", noun=tea)))


if __name__ == "__main__":
    with baseplate.server_context("buy") as context:
        buy(context, "oolong")
