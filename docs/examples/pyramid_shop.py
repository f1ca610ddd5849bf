"""A tea shop in Pyramid: run it with a port, then `curl -X POST localhost:8000/buy/oolong`."""

import os
import sys
from wsgiref.simple_server import make_server

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response


def buy(request: Request) -> Response:
    """Sell tea; the event says which request sold it."""
    tea = request.matchdict["tea"]
    request.tracker.emit("shop.tea.buy", {"kind": tea})
    return Response(f"sold {tea}\n")


config = Configurator(settings={"eventpub.queue_name": os.environ.get("SHOP_QUEUE", "v2")})
config.add_route("buy", "/buy/{tea}", request_method="POST")
config.add_view(buy, route_name="buy")
config.include("eventpub.integrations.pyramid")
app = config.make_wsgi_app()

if __name__ == "__main__":
    make_server("127.0.0.1", int(sys.argv[1]), app).serve_forever()
