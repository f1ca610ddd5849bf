"""`context.events_v2.put(event)` inside the real baseplate, which eventpub does not depend on."""

from __future__ import annotations

from support.baseplate import run_with_baseplate

from eventpub.queue.message_queue import MessageQueue


def take_all(queue_name: str) -> int:
    with MessageQueue.open(queue_name, create=False) as queue:
        return len(list(iter(queue.receive, None)))


def test_configure_context_gives_every_request_the_queue(queue_name: str):
    program = """
        baseplate = Baseplate({"some.setting": "1"})
        baseplate.configure_context({"events_v2": queue})
        for _ in range(2):
            with baseplate.server_context("request") as context:
                context.events_v2.put(event)
                print(context.events_v2 is queue)
    """
    assert run_with_baseplate(program, queue_name) == "True\nTrue\n"
    assert take_all(queue_name) == 2


def test_a_setting_of_the_same_name_does_no_harm(queue_name: str):
    program = """
        baseplate = Baseplate({"events_v2": "whatever"})
        baseplate.configure_context({"events_v2": queue})
        with baseplate.server_context("request") as context:
            context.events_v2.put(event)
    """
    run_with_baseplate(program, queue_name)
    assert take_all(queue_name) == 1


def test_it_may_be_nested_beside_settings(queue_name: str):
    program = """
        from baseplate.lib import config
        baseplate = Baseplate({"pipelines.limit": "7"})
        baseplate.configure_context({"pipelines": {"limit": config.Integer, "events": {"v2": queue}}})
        with baseplate.server_context("request") as context:
            context.pipelines.events.v2.put(event)
            print(context.pipelines.limit)
    """
    assert run_with_baseplate(program, queue_name) == "7\n"
    assert take_all(queue_name) == 1


def test_add_to_context_takes_it_alone_and_in_dicts(queue_name: str):
    program = """
        baseplate = Baseplate({})
        baseplate.add_to_context("events_v2", queue)
        baseplate.add_to_context("events", {"v2": queue})
        with baseplate.server_context("request") as context:
            context.events_v2.put(event)
            context.events.v2.put(event)
            with context.span.make_child("local", local=True, component_name="inner") as span:
                span.context.events_v2.put(event)
        print(baseplate.get_runtime_metric_reporters())
    """
    assert run_with_baseplate(program, queue_name) == "{}\n"
    assert take_all(queue_name) == 3
