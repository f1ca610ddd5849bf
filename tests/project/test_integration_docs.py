"""docs/integrations.md shows what runs: the examples, which the tests of each framework run, word for word."""

from __future__ import annotations

import ast
import json
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings
from flask import Flask
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient
from support.pages import read_blocks
from support.paths import ROOT
from support.web import EXAMPLES, start_example

from eventpub.integrations import bound
from eventpub.integrations.asgi import EventPubMiddleware
from eventpub.integrations.django_events import follow_override
from eventpub.integrations.flask import EventPub
from eventpub.schemas.event.ttypes import Event
from eventpub.testing import MemoryQueue, capture_events

PAGE = (ROOT / "docs/integrations.md").read_text(encoding="utf-8")
BLOCKS = read_blocks(PAGE, "python")


def test_every_example_is_on_the_page_and_short():
    examples = [path.read_text(encoding="utf-8") for path in sorted(EXAMPLES.glob("*.py"))]
    assert len(examples) == 5
    assert [example for example in examples if example not in BLOCKS or len(example.splitlines()) > 30] == []


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[0])
def test_what_the_page_imports_from_eventpub_is_there(block: str):
    for node in ast.walk(ast.parse(block)):
        module = (isinstance(node, ast.ImportFrom) and node.module) or ""
        if module.startswith("eventpub") and not module.endswith("baseplate"):  # its example is run elsewhere
            assert [alias for alias in node.names if not hasattr(import_module(module), alias.name)] == []


def test_what_is_no_example_runs_where_the_page_says_it_is():
    """The blocks between the examples: in a handler, beside an application, in a test, around another one."""
    examples = {path.read_text(encoding="utf-8") for path in EXAMPLES.glob("*.py")}
    blocks = [block for block in BLOCKS if block not in examples]
    put, processors, test_context, nightly, wsgi = blocks
    app = Flask("shop")
    app.config.update(EVENTPUB_QUEUE=(queue := MemoryQueue()), EVENTPUB_SERIALIZER="json")
    events = EventPub(app)

    def buy(tea: str) -> str:
        events.tracker.emit("shop.tea.buy", {"kind": tea})
        return tea

    with app.app_context(), bound({"id": "r-1"}):
        run_block(put, request=SimpleNamespace(events_v2=(structs := MemoryQueue())), Event=Event)
        run_block(processors, events=events)
    assert structs.events[0].request.id == "r-1"
    run_block(test_context, app=app, buy=buy)
    assert queue.events[0]["context"]["request"]["path"] == "/buy/oolong"
    if not settings.configured:
        settings.configure(INSTALLED_APPS=[])
    with override_settings(EVENTPUB={"queue": (nights := MemoryQueue()), "serializer": "json"}):
        follow_override(setting="EVENTPUB", enter=True)
        run_block(nightly)
        follow_override(setting="EVENTPUB", enter=False)
    assert [event["name"] for event in nights.events] == ["shop.nightly"]
    with capture_events() as captured:
        namespace = run_block(
            wsgi, application=lambda _environ, _start: [tracker().emit("shop.tea.buy") or b""]
        )
        tracker = lambda: namespace["tracker"]  # noqa: E731, made by the block
        namespace["application"]({"PATH_INFO": "/buy"}, lambda *_: None)
    assert captured.events[0].request.path == "/buy"


def run_block(block: str, **namespace: Any) -> dict[str, Any]:
    exec(compile(block, block.splitlines()[0], "exec", dont_inherit=True), namespace)
    return namespace


def test_the_event_that_the_page_shows_is_what_a_request_makes():
    (shown,) = map(json.loads, read_blocks(ROOT / "docs/integrations.md", "json"))
    request = shown["context"]["request"]

    async def buy(asked: Request) -> Response:
        asked.state.tracker.emit("shop.buy", {"tea": asked.path_params["tea"]})
        return Response()

    with capture_events() as captured:
        app = Starlette(
            routes=[Route("/buy/{tea}", buy, methods=["POST"])],
            middleware=[Middleware(EventPubMiddleware, {"queue_name": "shop", "serializer": "json"})],
        )
        with TestClient(app, client=(request["client_address"], 1)) as client:
            headers = {
                "Host": request["host"],
                "User-Agent": request["user_agent"],
                "X-Request-ID": request["id"],
                "traceparent": f"00-{request['trace_id']}-00f067aa0ba902b7-01",
            }
            client.post(request["path"], headers=headers)
    (event,) = captured.decoded
    for name in ("uuid", "timestamp"):
        assert len(event.pop(name)) == len(shown.pop(name)), name
    assert event == shown


@pytest.mark.parametrize("name", ["flask", "pyramid", "django", "starlette"])
def test_a_setting_that_cannot_be_used_stops_the_start_of_each_example(name: str):
    code, said = start_example(f"{name}_shop.py", "a/b")
    assert code != 0
    assert "queue_name = a/b: expected letters, digits" in said
