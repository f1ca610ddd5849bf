"""`eventpub.integrations.baseplate` inside the real baseplate, which eventpub does not depend on."""

from __future__ import annotations

import os
import subprocess

from support.baseplate import baseplate_python, run_with_baseplate
from support.paths import ROOT
from support.web import EXAMPLES, SMALL, make_small, take_events

BEGINNING = """
from baseplate.lib.config import ConfigurationError
from eventpub.integrations import current_request, with_request
from eventpub.integrations.baseplate import *
app_config = {"site.name": "shop", **SETTINGS}
"""


def run(queue_name: str, program: str, **more: str) -> str:
    """Run a program with `app_config`, whose keys begin with "events.", and return what it prints."""
    settings = {f"events.{key}": value for key, value in {**SMALL, "queue_name": queue_name, **more}.items()}
    return run_with_baseplate(BEGINNING.replace("SETTINGS", repr(settings)) + program, queue_name)


def test_the_parser_gives_every_request_the_queue_its_settings_speak_of(queue_name: str):
    program = """
baseplate = Baseplate(app_config)
baseplate.configure_context({"events": EventQueueParser()})
for _ in range(2):
    with baseplate.server_context("buy") as context:
        context.events.put(event)
"""
    run(queue_name, program)
    assert len(take_events(queue_name)) == 2


def test_the_parser_may_be_nested_beside_other_settings(queue_name: str):
    program = """
from baseplate.lib import config
app_config = {key.replace("events.", "pipelines.v2."): value for key, value in app_config.items()}
baseplate = Baseplate({**app_config, "pipelines.limit": "7"})
baseplate.configure_context({"pipelines": {"limit": config.Integer, "v2": EventQueueParser()}})
with baseplate.server_context("buy") as context:
    context.pipelines.v2.put(event)
    print(context.pipelines.limit)
"""
    assert run(queue_name, program) == "7\n"
    assert len(take_events(queue_name)) == 1


def test_from_config_reads_the_keys_behind_a_prefix(queue_name: str):
    program = """
baseplate = Baseplate(app_config)
baseplate.add_to_context("events_v2", event_queue_from_config(app_config, prefix="events."))
baseplate.add_to_context("factory", EventContextFactory(event_queue_from_config(app_config)))
with baseplate.server_context("buy") as context:
    context.events_v2.put(event)
    context.factory.put(event)
"""
    run(queue_name, program)
    assert len(take_events(queue_name)) == 2


def test_events_are_version_2_unless_settings_say_otherwise(queue_name: str):
    program = """
from eventpub import EventSerializationError
try:
    event_queue_from_config(app_config).put({"name": "buy"})
except EventSerializationError:
    print("refused")
app_config["events.serializer"] = "json"
event_queue_from_config(app_config).put({"name": "buy"})
"""
    assert run(queue_name, program) == "refused\n"
    assert take_events(queue_name) == [{"name": "buy"}]


def test_a_setting_that_cannot_be_used_is_an_error_of_baseplates_own_kind(queue_name: str):
    program = """
for key in ("events.queue_nam", "events.max_queue_size"):
    try:
        event_queue_from_config({**app_config, key: "many"})
    except ConfigurationError as error:
        print(error.key)
"""
    assert run(queue_name, program) == "events.queue_nam\nevents.max_queue_size\n"


def test_the_server_span_is_the_request_while_it_lasts_even_if_it_fails(queue_name: str):
    program = """
baseplate = Baseplate(app_config)
baseplate.register(RequestContextObserver())
tracker = events_from_config(app_config).tracker
try:
    with baseplate.server_context("buy") as context:
        span, observers = context.span, [*context.span.observers]  # kept: a binding that dies is undone
        tracker.emit("shop.buy")
        with span.make_child("local", local=True, component_name="inner"):
            tracker.emit("shop.pay")
        raise ZeroDivisionError
except ZeroDivisionError:
    pass
tracker.emit("after")
print(span.id, span.trace_id, current_request())
"""
    span_id, trace_id, nothing = run(queue_name, program).split()
    assert nothing == "{}"
    first, second, after = take_events(queue_name)
    told = {"1": {"str": span_id}, "5": {"str": "buy"}, "11": {"str": trace_id}}
    assert [event["21"]["rec"] for event in (first, second)] == [told, told]
    assert "21" not in after


def test_a_server_span_that_is_finished_in_another_thread_leaves_no_request_bound(queue_name: str):
    program = """
import threading
baseplate = Baseplate(app_config)
baseplate.register(RequestContextObserver())
span = baseplate.make_server_span(baseplate.make_context_object(), "buy")
span.start()
print(current_request()["route"])
finisher = threading.Thread(target=span.finish)
finisher.start()
finisher.join()
print(current_request())
"""
    assert run(queue_name, program) == "buy\n{}\n"


def test_a_pyramid_request_tells_the_rest(queue_name: str):
    program = """
import baseplate as b
class PyramidRequest(b.RequestContext):  # as baseplate's Pyramid integration has it: the request is the context
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/buy", "HTTP_USER_AGENT": "kettle/1.0"}
baseplate = Baseplate(app_config)
baseplate.register(RequestContextObserver())
with baseplate.make_server_span(PyramidRequest({}), "buy") as span:
    request = current_request()
print(request["method"], request["path"], request["user_agent"], request["route"], request["id"] == span.id)
"""
    assert run(queue_name, program) == "POST /buy kettle/1.0 buy True\n"


def test_greenlets_that_serve_by_turns_never_see_each_others(queue_name: str):
    program = """
import gevent
baseplate = Baseplate(app_config)
baseplate.register(RequestContextObserver())
def serve(name):
    with baseplate.server_context(name):
        gevent.sleep(0)
        first = current_request()["route"]
        gevent.sleep(0)
        return first, current_request()["route"]
print(*[greenlet.get() for greenlet in [gevent.spawn(serve, name) for name in "ab"]], current_request())
"""
    assert run(queue_name, program) == "('a', 'a') ('b', 'b') {}\n"


def test_what_became_of_the_events_is_reported_as_runtime_metrics(queue_name: str):
    program = """
class Batch:
    def gauge(self, name):
        self.name = name
        return self
    def replace(self, number):
        print(self.name, number)
factory = EventContextFactory(event_queue_from_config(app_config))
baseplate = Baseplate(app_config)
baseplate.add_to_context("events", factory)
with baseplate.server_context("buy") as context:
    context.events.put(event)
for report in baseplate.get_runtime_metric_reporters().values():
    report(Batch())
"""
    assert run(queue_name, program).splitlines()[:2] == [f"{queue_name}.accepted 1", f"{queue_name}.full 0"]


def test_the_example_runs_as_it_stands(queue_name: str):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "SHOP_QUEUE": queue_name}
    make_small(queue_name)
    subprocess.run(
        [baseplate_python(), "-W", "ignore", EXAMPLES / "baseplate_shop.py"],
        env=environment,
        check=True,
        timeout=60,
    )
    (event,) = take_events(queue_name)
    assert (event["3"], event["21"]["rec"]["5"]) == ({"str": "oolong"}, {"str": "buy"})
