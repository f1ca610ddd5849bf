"""`Sample` and `RateLimit`: a part of the events, the same part for all events of one request."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any

import pytest
from support.forked import in_child
from support.waiting import wait_until

from eventpub.schemas.event.ttypes import Event, Request, User
from eventpub.tracking import EventEmissionExit, MemoryBackend, Tracker
from eventpub.tracking.sampling import RateLimit, Sample


def passes(processor: Any, event: Any) -> bool:
    try:
        return processor(event) is event
    except EventEmissionExit:
        return False


def viewed(request_id: object, name: str = "page.view", **context: Any) -> dict[str, Any]:
    return {"name": name, "data": {}, "context": {"request": {"id": request_id}, **context}}


# --- samples ---------------------------------------------------------------------------------------------


def test_the_share_that_passes_is_about_the_one_asked_for():
    sample = Sample({"page.*": 0.1})
    passed = sum(passes(sample, viewed(number)) for number in range(5_000))
    assert 350 < passed < 650
    assert sample.ended == 5_000 - passed
    assert sum(passes(sample, {"name": "page.view"}) for _ in range(5_000)) == pytest.approx(500, abs=150)


def test_all_events_of_one_request_are_decided_alike_in_every_process():
    sample = Sample({"page.*": 0.5, "cart.*": 0.5})
    first = [passes(sample, viewed(number)) for number in range(100)]
    assert {True, False} == set(first)
    assert [passes(sample, viewed(number, "cart.opened")) for number in range(100)] == first
    assert in_child(lambda: [passes(Sample({"*": 0.5}), viewed(number)) for number in range(100)]) == first
    larger = Sample({"page.*": 0.8})
    assert all(passes(larger, viewed(number)) for number, passed in enumerate(first) if passed)


def test_a_trace_is_decided_alike_whichever_of_its_requests_an_event_is_of():
    sample = Sample({"*": 0.5})
    for trace in range(50):
        context = [{"request": {"id": str(number), "trace_id": trace}} for number in range(5)]
        assert len({passes(sample, {"name": "n", "context": one}) for one in context}) == 1


@pytest.mark.parametrize("place", [{"user_id": 7}, {"user": {"id": 7}}])
def test_a_user_is_decided_alike_across_requests(place: dict[str, Any]):
    for salt in range(50):
        sample = Sample({"*": 0.5}, by="user")
        of_user = {key: salt if key == "user_id" else {"id": salt} for key in place}
        assert len({passes(sample, viewed(number, **of_user)) for number in range(20)}) == 1


def test_structs_are_decided_by_their_request_and_their_user_too():
    events = [
        Event(source="s", action="a", noun="n", request=Request(id="r"), user=User(id=str(number)))
        for number in range(40)
    ]
    assert len({passes(Sample({"*": 0.5}), event) for event in events}) == 1
    assert len({passes(Sample({"*": 0.5}, by="user"), event) for event in events}) == 2


def test_each_event_can_be_decided_by_itself_or_by_any_value():
    by_event, by_tenant = Sample({"*": 0.5}, by="event"), Sample({"*": 0.5}, by="data.tenant")
    same = {"name": "n", "data": {"tenant": 3}, "context": {"request": {"id": "r"}}}
    assert len({passes(by_event, same) for _ in range(50)}) == 2
    assert len({passes(by_tenant, same) for _ in range(50)}) == 1


def test_the_first_pattern_counts_and_other_names_pass():
    sample = Sample({"page.error": 1, "page.*": 0, "cart.opened": 0.0})
    names = ["page.error", "page.view", "cart.opened", "cart.closed", "pages"]
    assert [name for name in names if passes(sample, {"name": name})] == ["page.error", "cart.closed", "pages"]


@pytest.mark.parametrize("rate", [-0.1, 1.1, "0.1", None, True, float("nan")])
def test_what_is_no_share_is_refused(rate: Any):
    with pytest.raises(ValueError, match="is not a share; give a number from 0 to 1"):
        Sample({"page.*": rate})


# --- limits ----------------------------------------------------------------------------------------------


def test_so_many_events_a_second_pass_and_others_are_not_touched(caplog: pytest.LogCaptureFixture):
    limit = RateLimit("search.*", "find", per_second=5)
    started = time.monotonic()
    passed = Counter(
        name for _ in range(50) for name in ("search.a", "find", "cart") if passes(limit, {"name": name})
    )
    most = 5 * (1 + int(time.monotonic() - started))
    assert passed["cart"] == 50
    assert 5 <= passed["search.a"] + passed["find"] <= most
    assert limit.ended == 100 - passed["search.a"] - passed["find"]
    (line,) = caplog.messages
    assert "RateLimit('search.*', 'find', per_second=5) has ended 1 events so far" in line


def test_room_comes_back_with_time():
    limit = RateLimit("*", per_second=20)
    assert sum(passes(limit, {"name": "n"}) for _ in range(40)) >= 20
    wait_until(lambda: passes(limit, {"name": "n"}), "a second has passed")


def test_less_than_one_a_second_is_one_in_a_while():
    limit = RateLimit("*", per_second=0.01)
    assert [passes(limit, {"name": "n"}) for _ in range(3)] == [True, False, False]


def test_threads_together_get_no_more(frequent_switches: None):  # noqa: ARG001
    limit = RateLimit("*", per_second=0.5 + 50)
    passed: list[bool] = []
    started = time.monotonic()
    threads = [
        threading.Thread(target=lambda: passed.extend(passes(limit, {"name": "n"}) for _ in range(200)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(passed) <= 50 * (1 + int(time.monotonic() - started))


def test_a_forked_child_counts_for_itself_whoever_held_the_lock():
    limit = RateLimit("*", per_second=1)
    with limit._passing:
        assert in_child(lambda: [passes(limit, {"name": "n"}) for _ in range(2)]) == [True, False]


@pytest.mark.parametrize("names", [(), ("a", ""), (7,)])
def test_a_limit_of_no_names_is_refused(names: Any):
    with pytest.raises(ValueError, match="are not patterns of names"):
        RateLimit(*names, per_second=1)


@pytest.mark.parametrize("per_second", [0, -1, "5", None, float("nan"), float("inf")])
def test_what_is_no_limit_is_refused(per_second: Any):
    with pytest.raises(ValueError, match="is not a number of events above 0"):
        RateLimit("a", per_second=per_second)


def test_an_event_that_is_ended_reaches_no_backend():
    memory = MemoryBackend()
    tracker = Tracker({"memory": memory}, processors=[Sample({"page.*": 0}), RateLimit("search", per_second=1)])
    for name in ("page.view", "search", "search", "cart"):
        tracker.emit(name)
    assert memory.names == ["search", "cart"]
    assert not tracker.routing_backend.failures
