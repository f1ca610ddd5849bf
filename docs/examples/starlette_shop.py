"""A tea shop in Starlette: run it with a port, then `curl -X POST localhost:8000/buy/oolong`."""

import os
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from eventpub.integrations.asgi import EventPubMiddleware


async def buy(request: Request) -> PlainTextResponse:
    """Sell tea; the event says which request sold it."""
    tea = request.path_params["tea"]
    request.state.tracker.emit("shop.tea.buy", {"kind": tea})
    return PlainTextResponse(f"sold {tea}\n")


shop = Starlette(routes=[Route("/buy/{tea}", buy, methods=["POST"])])
app = EventPubMiddleware(shop, {"queue_name": os.environ.get("SHOP_QUEUE", "v2")})

if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]))
