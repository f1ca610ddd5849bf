"""What is known of a request, from whatever headers come; and where it is seen while it is bound."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace
from typing import Any

import gevent
import gevent.pool
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpub import Event as TimedEvent
from eventpub import serialize_json_event, serialize_v2_event, to_v2_event
from eventpub.errors import EventClosedError
from eventpub.integrations import bound, current_request, inherit_context, with_request
from eventpub.integrations.describe import from_environ, from_scope
from eventpub.integrations.wsgi import RequestContextMiddleware
from eventpub.schemas.event.ttypes import Event, Request, User
from eventpub.tracking import Tracker, carried

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
REQUEST = {"id": "r-17", "trace_id": TRACE_ID, "path": "/buy"}


def described(**headers: str) -> dict[str, str]:
    environ = {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    return from_environ({"REQUEST_METHOD": "GET", "PATH_INFO": "/buy", "REMOTE_ADDR": "203.0.113.9", **environ})


# --- what a request says ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "trace_id"),
    [
        ({"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"}, TRACE_ID),
        ({"traceparent": f"01-{TRACE_ID}-00f067aa0ba902b7-01-what-comes-later"}, TRACE_ID),
        ({"b3": f"{TRACE_ID}-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90"}, TRACE_ID),
        ({"b3": "E457B5A2E4D86BD1-e457b5a2e4d86bd1"}, "e457b5a2e4d86bd1"),
        ({"x_b3_traceid": "463ac35c9f6413ad"}, "463ac35c9f6413ad"),
        ({"x_trace": "12883413300128016822"}, "12883413300128016822"),
        ({"traceparent": "nonsense", "x_b3_traceid": "463ac35c9f6413ad"}, "463ac35c9f6413ad"),
        ({"x_trace": "1", "traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"}, TRACE_ID),
    ],
)
def test_the_trace_goes_on(headers: dict[str, str], trace_id: str):
    assert described(**headers)["trace_id"] == trace_id


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"traceparent": f"00-{'0' * 32}-00f067aa0ba902b7-01"},
        {"traceparent": f"00-{TRACE_ID}-{'0' * 16}-01"},
        {"traceparent": f"ff-{TRACE_ID}-00f067aa0ba902b7-01"},
        {"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01-more"},
        {"traceparent": f"00-{TRACE_ID.upper()}-00f067aa0ba902b7-01"},
        {"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01\n"},
        {"b3": "0"},
        {"x_b3_traceid": "4" * 33},
        {"x_b3_traceid": "<script>"},
    ],
)
def test_a_trace_that_is_none_gives_way_to_a_fresh_one(headers: dict[str, str]):
    made = [described(**headers)["trace_id"] for _ in range(2)]
    assert made[0] != made[1]
    assert [len(trace_id) for trace_id in made] == [32, 32]
    assert TRACE_ID not in made


@pytest.mark.parametrize("request_id", ["", "x" * 129, "two words", "tab\t", "line\nfeed", "caf\xe9"])
def test_a_request_id_that_is_none_gives_way_to_a_fresh_one(request_id: str):
    made = [described(x_request_id=request_id)["id"] for _ in range(2)]
    assert made[0] != made[1]
    assert [len(name) for name in made] == [32, 32]


def test_a_request_id_goes_on():
    assert described(x_request_id="Root=1-67891233-abcdef")["id"] == "Root=1-67891233-abcdef"


def test_what_is_not_known_is_left_out_and_so_is_the_query():
    assert set(from_environ({"PATH_INFO": "/buy", "QUERY_STRING": "card=1234"})) == {"id", "trace_id", "path"}


def test_a_path_is_text_as_the_client_meant_it():
    environ = {"SCRIPT_NAME": "/shop", "PATH_INFO": "/t\u00e9\n\xff".encode().decode("latin-1") + "\xff"}
    assert from_environ(environ)["path"] == "/shop/t\u00e9\ufffd\xff\ufffd"


def test_the_first_of_several_equal_headers_counts():
    scope = {
        "headers": [(b"x-request-id", b"first"), (b"x-request-id", b"second")],
        "path": "/",
        "client": None,
    }
    assert from_scope(scope)["id"] == "first"


text = st.builds(lambda piece, times: piece * times, st.text(), st.sampled_from([1, 500]))


@given(
    st.dictionaries(st.sampled_from(["USER_AGENT", "HOST", "X_REQUEST_ID", "TRACEPARENT", "B3"]), text),
    text,
    text,
)
def test_whatever_a_client_sends_is_short_and_printable_and_can_be_serialized(
    headers: dict[str, str], path: str, method: str
):
    environ = {f"HTTP_{name}": value for name, value in headers.items()}
    encoded = [
        (name.lower().replace("_", "-").encode(), v.encode("utf-8", "replace")) for name, v in headers.items()
    ]
    for request in (
        from_environ({**environ, "PATH_INFO": path, "REQUEST_METHOD": method, "REMOTE_ADDR": path}),
        from_scope({"headers": encoded, "path": path, "method": method, "client": (path, 1)}),
    ):
        assert all(value.isprintable() for value in request.values())
        assert len(serialize_json_event(request)) < 8192, "what a queue of a fresh kernel takes"
        serialize_v2_event(Event(source="s", action="a", noun="n", request=Request(**request)))


# --- where it is seen ------------------------------------------------------------------------------------


def test_any_tracker_in_the_process_says_it_while_it_is_bound():
    class Kept(list[Any]):
        send = list.append

    kept = Kept()
    trackers = [Tracker({"kept": kept}), Tracker({"kept": kept})]
    with bound(REQUEST):
        for tracker in trackers:
            tracker.emit("buy")
    trackers[0].emit("after")
    assert [event["context"] for event in kept] == [{"request": REQUEST}, {"request": REQUEST}, {}]


def elsewhere(func: Callable[[], Any]) -> None:
    thread = threading.Thread(target=func)
    thread.start()
    thread.join()


def test_a_request_that_ends_in_another_thread_is_bound_nowhere_afterwards():
    with bound({"id": "outer"}):
        for number in range(3):
            block = bound({"id": str(number)})
            block.__enter__()
            assert current_request() == {"id": str(number)}
            end = (
                carried(partial(block.__exit__, None, None, None))
                if number
                else partial(block.__exit__, *[None] * 3)
            )
            elsewhere(end)
            assert current_request() == {"id": "outer"}
            assert Tracker().resolve_context() == {"request": {"id": "outer"}}
    assert current_request() == {}


def test_a_generator_that_is_closed_in_another_context_ends_its_request():
    def stream() -> Iterator[int]:
        with bound(REQUEST):
            yield 1

    parts = stream()
    next(parts)
    contextvars.copy_context().run(parts.close)
    assert current_request() == {}


def test_the_outer_request_is_bound_again_after_an_inner_one_even_if_that_fails():
    def fail() -> None:
        assert current_request() == {"id": "inner"}
        raise ZeroDivisionError

    with bound(REQUEST):
        with pytest.raises(ZeroDivisionError), bound({"id": "inner"}):
            fail()
        assert current_request() == REQUEST
    assert current_request() == {}


def test_who_changes_what_was_returned_changes_no_event():
    with bound(dict(REQUEST)):
        current_request()["path"] = "/changed"
        with_request({})["context"]["request"]["path"] = "/changed"
        assert current_request() == REQUEST


def test_a_thread_sees_it_through_carried_and_no_other_does():
    seen: list[dict[str, str]] = []

    def look() -> None:
        seen.append(current_request())

    with bound(REQUEST):
        threads = [threading.Thread(target=target) for target in (carried(look), look)]
    for thread in threads:
        thread.start()
        thread.join()
    assert seen == [REQUEST, {}]


def test_a_pool_sees_it_through_carried_and_keeps_nothing():
    with ThreadPoolExecutor(1) as pool:
        with bound(REQUEST):
            futures = [pool.submit(carried(current_request)), pool.submit(current_request)]
        with bound({"id": "other"}):
            futures.append(pool.submit(carried(current_request)))
        assert [future.result(20) for future in futures] == [REQUEST, {}, {"id": "other"}]


def test_tasks_and_to_thread_inherit_it_and_keep_it_when_the_request_is_over():
    async def look() -> dict[str, str]:
        await over.wait()
        return current_request()

    async def main() -> list[dict[str, str]]:
        with bound(REQUEST):
            in_thread = await asyncio.to_thread(current_request)
            task = asyncio.create_task(look())
        over.set()
        return [in_thread, await task, current_request()]

    over = asyncio.Event()
    assert asyncio.run(main()) == [REQUEST, REQUEST, {}]


def test_greenlets_inherit_it_by_the_spawn_callback_and_without_it_through_carried():
    with bound(REQUEST):
        assert gevent.spawn(carried(current_request)).get() == REQUEST
        assert gevent.spawn(current_request).get() == {}
        gevent.Greenlet.add_spawn_callback(inherit_context)
        try:
            assert gevent.spawn(current_request).get() == REQUEST
            assert gevent.pool.Pool(1).spawn(current_request).get() == REQUEST
            later = gevent.spawn_later(0, current_request)
        finally:
            gevent.Greenlet.remove_spawn_callback(inherit_context)
    assert later.get() == REQUEST


def test_greenlets_that_take_turns_never_see_each_others():
    def serve(number: str) -> list[str]:
        seen = []
        with bound({"id": number}):
            for _ in range(3):
                gevent.sleep(0)
                seen.append(current_request()["id"])
        return seen

    served = [gevent.spawn(serve, number) for number in "012"]
    assert [greenlet.get() for greenlet in served] == [["0"] * 3, ["1"] * 3, ["2"] * 3]


def test_a_body_that_is_a_list_stays_one_since_servers_ask_for_its_length():
    body = [b"sold"]
    application = RequestContextMiddleware(lambda _environ, _start_response: body)
    assert application({"PATH_INFO": "/"}, lambda *_: None) is body


# --- events that are put rather than emitted -------------------------------------------------------------


def test_a_mapping_gets_its_request_where_a_tracked_event_has_it():
    event = {"name": "buy", "context": {"user": "u"}}
    before = copy.deepcopy(event)
    with bound(REQUEST):
        assert with_request(event) == {"name": "buy", "context": {"user": "u", "request": REQUEST}}
        assert with_request({"name": "buy"}) == {"name": "buy", "context": {"request": REQUEST}}
    assert event == before


def test_a_struct_gets_its_request_as_its_field():
    event = Event(source="shop", action="buy", noun="tea")
    with bound(REQUEST):
        told = with_request(event)
    assert told.request == Request(**REQUEST)
    assert event.request is None


def test_a_struct_without_a_field_for_it_is_left_alone():
    user = User(id="u")
    with bound(REQUEST):
        assert with_request(user) is user


def test_any_other_object_gets_its_request_as_an_attribute():
    event = SimpleNamespace(name="buy")
    with bound(REQUEST):
        assert with_request(event) == SimpleNamespace(name="buy", request=REQUEST)
    assert event == SimpleNamespace(name="buy")


def test_a_closed_event_gets_its_request_in_a_copy_that_is_closed_too():
    with bound(REQUEST), TimedEvent("buy") as event:
        pass
    with bound(REQUEST):
        told = with_request(event)
    assert told.request == REQUEST
    with pytest.raises(EventClosedError):
        told.late = True
    assert "request" not in event.as_dict()


@pytest.mark.parametrize("event", [TimedEvent("buy"), {"name": "buy"}])
def test_as_a_version_2_event_either_kind_has_its_request_as_the_struct(event: Any):
    with bound(REQUEST):
        made = to_v2_event(with_request(event))
    assert (made.request, made.properties) == (Request(**REQUEST), None)


class Refusing:
    def __copy__(self) -> Refusing:
        raise LookupError


@pytest.mark.parametrize(
    "event", [{"name": "n", "context": "odd"}, {"context": ["request"]}, "text", ("a", "tuple"), Refusing()]
)
def test_an_event_without_room_for_its_request_is_left_alone(event: Any):
    with bound(REQUEST):
        assert with_request(event) is event


def test_an_event_that_has_a_request_keeps_it_and_outside_of_one_nothing_is_added():
    mapping = {"context": {"request": {"id": "its own"}}}
    struct = Event(source="shop", action="buy", noun="tea", request=Request(id="its own"))
    with bound(REQUEST):
        assert with_request(mapping) is mapping
        assert with_request(struct) is struct
    bare = {"name": "buy"}
    assert with_request(bare) is bare
