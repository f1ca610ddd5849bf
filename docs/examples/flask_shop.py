"""A tea shop in Flask: run it with a port, then `curl -X POST localhost:8000/buy/oolong`."""

import os
import sys

from flask import Flask

from eventpub.integrations.flask import EventPub

app = Flask(__name__)
app.config["EVENTPUB_QUEUE_NAME"] = os.environ.get("SHOP_QUEUE", "v2")
events = EventPub(app)


@app.post("/buy/<tea>")
def buy(tea: str) -> str:
    """Sell tea; the event says which request sold it."""
    events.tracker.emit("shop.tea.buy", {"kind": tea})
    return f"sold {tea}\n"


if __name__ == "__main__":
    app.run(port=int(sys.argv[1]))
