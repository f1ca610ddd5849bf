"""A tea shop in Django: run it with a port, then `curl -X POST localhost:8000/buy/oolong`."""

import os
import sys

from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpRequest, HttpResponse
from django.urls import path


def buy(request: HttpRequest, tea: str) -> HttpResponse:
    """Sell tea; the event says which request sold it."""
    request.tracker.emit("shop.tea.buy", {"kind": tea})
    return HttpResponse(f"sold {tea}\n")


urlpatterns = [path("buy/<tea>", buy)]

settings.configure(
    ALLOWED_HOSTS=["localhost", "127.0.0.1"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["eventpub.integrations.django.EventPubConfig"],
    MIDDLEWARE=["eventpub.integrations.django.EventPubMiddleware"],
    EVENTPUB={"queue_name": os.environ.get("SHOP_QUEUE", "v2")},
)

if __name__ == "__main__":
    execute_from_command_line([sys.argv[0], "runserver", "--noreload", sys.argv[1]])
