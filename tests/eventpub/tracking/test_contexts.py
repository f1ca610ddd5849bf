"""Who sees which contexts: threads, greenlets and asyncio tasks, and what `carried` takes along."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections import UserDict
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gevent
import pytest
from gevent.threadpool import ThreadPool as GeventThreadPool
from hypothesis import given
from hypothesis import strategies as st

from eventpub.integrations import bound, say
from eventpub.tracking import MemoryBackend, Tracker, carried
from eventpub.tracking import contexts as contexts_module

WORKERS = 4
ROUNDS = 25


def seen_by_each(tracker: Tracker, rendezvous: Callable[[], object]) -> Callable[[int], list[Any]]:
    """A worker that enters a context of its own, meets the others, and looks; again and again."""

    def work(worker: int) -> list[Any]:
        seen = []
        for n in range(ROUNDS):
            with tracker.context("worker", {"worker": worker, "round": n}):
                rendezvous()
                seen.append(tracker.resolve_context())
        seen.append(tracker.resolve_context())
        return seen

    return work


def own(worker: int) -> list[Any]:
    """What a worker that sees nothing of the others sees."""
    return [*({"worker": worker, "round": n} for n in range(ROUNDS)), {}]


# --- isolation -------------------------------------------------------------------------------------------


def test_threads_never_see_each_others_contexts():
    tracker = Tracker()
    work = seen_by_each(tracker, threading.Barrier(WORKERS).wait)
    with tracker.context("main", {"main": True}), ThreadPoolExecutor(WORKERS) as pool:
        seen = list(pool.map(work, range(WORKERS)))
        assert tracker.resolve_context() == {"main": True}
    assert seen == [own(worker) for worker in range(WORKERS)]


def test_greenlets_never_see_each_others_contexts():
    tracker = Tracker()
    work = seen_by_each(tracker, lambda: gevent.sleep(0))
    with tracker.context("main", {"main": True}):
        greenlets = [gevent.spawn(work, worker) for worker in range(WORKERS)]
        gevent.joinall(greenlets, raise_error=True)
        assert tracker.resolve_context() == {"main": True}
    assert [greenlet.value for greenlet in greenlets] == [own(worker) for worker in range(WORKERS)]


def test_asyncio_tasks_never_see_each_others_contexts():
    tracker = Tracker()

    async def work(worker: int) -> list[Any]:
        seen = []
        for n in range(ROUNDS):
            with tracker.context("worker", {"worker": worker, "round": n}):
                await asyncio.sleep(0)
                seen.append(tracker.resolve_context())
        return [*seen, tracker.resolve_context()]

    async def main() -> list[list[Any]]:
        return await asyncio.gather(*map(work, range(WORKERS)))

    assert asyncio.run(main()) == [own(worker) for worker in range(WORKERS)]


def test_an_asyncio_task_inherits_the_contexts_it_is_started_in_and_keeps_its_changes_to_itself():
    tracker = Tracker()
    memory = MemoryBackend()
    tracker.routing_backend.register_backend("memory", memory)

    async def child(exited: asyncio.Event) -> None:
        await exited.wait()
        tracker.emit("in the child")
        tracker.exit_context("request")
        tracker.enter_context("child", {"child": True})
        tracker.emit("in the child, changed")

    async def main() -> None:
        exited = asyncio.Event()
        with tracker.context("request", {"path": "/"}):
            task = asyncio.create_task(child(exited))
            await asyncio.sleep(0)
        exited.set()
        await task
        tracker.emit("in the parent")

    asyncio.run(main())
    assert [event["context"] for event in memory.events] == [{"path": "/"}, {"child": True}, {}]


def test_a_thread_that_asyncio_starts_inherits_them_too():
    tracker = Tracker()

    async def main() -> dict[str, Any]:
        with tracker.context("request", {"path": "/"}):
            return await asyncio.to_thread(tracker.resolve_context)

    assert asyncio.run(main()) == {"path": "/"}


# --- carried ---------------------------------------------------------------------------------------------


def in_a_thread(func: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(func).result()


def in_a_greenlet(func: Callable[[], Any]) -> Any:
    return gevent.spawn(func).get()


def in_a_thread_of_gevent(func: Callable[[], Any]) -> Any:
    pool = GeventThreadPool(1)
    try:
        return pool.spawn(func).get()
    finally:
        pool.kill()


def in_an_executor_of_asyncio(func: Callable[[], Any]) -> Any:
    async def main() -> Any:
        return await asyncio.get_running_loop().run_in_executor(None, func)

    return asyncio.run(main())


@pytest.mark.parametrize(
    "elsewhere", [in_a_thread, in_a_greenlet, in_a_thread_of_gevent, in_an_executor_of_asyncio]
)
def test_what_is_carried_sees_the_contexts_it_was_carried_from(elsewhere: Callable[..., Any]):
    tracker = Tracker()
    with tracker.context("request", {"path": "/"}):
        func = carried(tracker.resolve_context)
    assert elsewhere(func) == {"path": "/"}
    assert elsewhere(tracker.resolve_context) == {}


def test_what_is_carried_keeps_its_changes_to_itself_each_time_it_is_called():
    tracker = Tracker()

    def enter() -> dict[str, Any]:
        before = tracker.resolve_context()
        tracker.enter_context("inner", {"inner": True})
        return before

    with tracker.context("request", {"path": "/"}):
        func = carried(enter)
        assert [func(), in_a_thread(func), in_a_thread(func)] == [{"path": "/"}] * 3
        assert tracker.resolve_context() == {"path": "/"}


def test_what_is_carried_may_run_in_any_number_of_threads_at_once():
    tracker = Tracker()
    barrier = threading.Barrier(WORKERS)

    def work(_: int) -> dict[str, Any]:
        barrier.wait()
        return tracker.resolve_context()

    with tracker.context("request", {"path": "/"}), ThreadPoolExecutor(WORKERS) as pool:
        assert list(pool.map(carried(work), range(WORKERS))) == [{"path": "/"}] * WORKERS


def test_what_is_carried_takes_arguments_and_gives_results_and_errors_as_before():
    def divide(a: int, *, by: int) -> float:
        """Divide."""
        return a / by

    func = carried(divide)
    assert func(6, by=3) == 2
    assert (func.__name__, func.__doc__, inspect.signature(func)) == (
        "divide",
        "Divide.",
        inspect.signature(divide),
    )
    with pytest.raises(ZeroDivisionError):
        func(6, by=0)


def test_what_would_run_after_it_was_carried_is_refused_and_asyncio_run_carries_it():
    async def resolve() -> dict[str, Any]:
        return tracker.resolve_context()

    async def parts() -> AsyncIterator[int]:
        yield 1

    def generate() -> Iterator[int]:
        yield 1

    tracker = Tracker()
    for late in (resolve, parts, generate):
        with pytest.raises(TypeError, match=r"carries nothing.*carried\(asyncio\.run\)"):
            carried(late)
    with tracker.context("request", {"path": "/"}):
        run = carried(asyncio.run)
    assert in_a_thread(lambda: run(resolve())) == {"path": "/"}


def test_what_is_carried_takes_along_other_context_variables_too():
    variable = contextvars.ContextVar("variable", default="none")
    variable.set("set")
    assert in_a_thread(carried(variable.get)) == "set"


# --- contexts of all trackers ----------------------------------------------------------------------------


def test_what_is_bound_for_all_trackers_is_on_the_events_of_each_and_loses_to_its_own_contexts():
    trackers = Tracker(), Tracker()
    with bound({"id": "r-1"}), trackers[0].context("masquerade", {"user": 2}):
        say(path="/", user=1)
        request = {"request": {"id": "r-1"}}
        assert trackers[0].resolve_context() == {**request, "path": "/", "user": 2}
        assert trackers[1].resolve_context() == {**request, "path": "/", "user": 1}
        assert in_a_thread(carried(trackers[1].resolve_context)) == {**request, "path": "/", "user": 1}
    assert trackers[1].resolve_context() == {}


# --- contexts as a stack ---------------------------------------------------------------------------------

names = st.sampled_from("abc")
contexts = st.dictionaries(st.sampled_from(["user", "path", "x"]), st.integers(), max_size=3)


def entered(tracker: Tracker) -> list[tuple[str, Any]]:
    return list(tracker.located_context.items())


def in_new_context(test: Callable[[], None]) -> None:
    contextvars.Context().run(test)


@given(st.lists(st.tuples(names, contexts)))
def test_blocks_however_nested_leave_what_they_found_and_the_innermost_wins(blocks: list[tuple[str, Any]]):
    tracker = Tracker()

    def nest(depth: int) -> None:
        if depth == len(blocks):
            return
        name, ctx = blocks[depth]
        before = entered(tracker)
        with tracker.context(name, ctx):
            assert entered(tracker) == [pair for pair in before if pair[0] != name] + [(name, ctx)]
            assert tracker.resolve_context().items() >= ctx.items()
            nest(depth + 1)
        assert entered(tracker) == before

    in_new_context(lambda: nest(0))


@given(
    before=st.lists(st.tuples(names, contexts)),
    name=names,
    inside=st.lists(st.tuples(names, st.none() | contexts)),
)
def test_a_block_puts_back_its_own_name_and_nothing_else(
    before: list[tuple[str, Any]], name: str, inside: list[tuple[str, Any]]
):
    tracker = Tracker()

    def others() -> list[tuple[str, Any]]:
        return [pair for pair in entered(tracker) if pair[0] != name]

    def run() -> None:
        for other, ctx in before:
            tracker.enter_context(other, ctx)
        outer = dict(entered(tracker)).get(name)
        with tracker.context(name, {"inner": True}):
            for other, ctx in inside:
                if ctx is not None:
                    tracker.enter_context(other, ctx)
                elif other in tracker.located_context:
                    tracker.exit_context(other)
            left = others()
        assert dict(entered(tracker)).get(name) == outer
        assert others() == left

    in_new_context(run)


def test_what_is_put_back_comes_after_what_it_came_after_and_before_what_is_new():
    tracker = Tracker()

    def run() -> None:
        for name in ("a", "b", "inner"):
            tracker.enter_context(name, {})
        with tracker.context("inner", {"inner": True}):
            tracker.exit_context("a")
            tracker.enter_context("new", {})
        assert entered(tracker) == [("b", {}), ("inner", {}), ("new", {})]

    in_new_context(run)


def test_a_function_that_is_decorated_has_the_context_in_each_call_also_within_itself():
    tracker = Tracker()

    @tracker.context("call", {"called": True})
    def depth(more: int) -> int:
        """Call itself."""
        assert tracker.resolve_context() == {"called": True}
        return 1 + depth(more - 1) if more else 1

    assert (depth(3), depth(0), depth.__doc__) == (4, 1, "Call itself.")
    assert tracker.resolve_context() == {}


def test_a_function_that_runs_after_its_call_is_not_decorated_in_vain():
    async def resolve() -> None: ...

    async def parts() -> AsyncIterator[int]:
        yield 1

    def generate() -> Iterator[int]:
        yield 1

    for late in (resolve, parts, generate):
        with pytest.raises(TypeError, match=r"'request'.*covers nothing of .*with tracker\.context"):
            Tracker().context("request", {})(late)


@pytest.mark.parametrize("ctx", [None, 7, "text", [("user", 1)]])
def test_a_context_that_is_no_mapping_is_refused_by_its_name_where_it_is_entered(ctx: Any):
    tracker = Tracker()
    for enter in (tracker.enter_context, tracker.context):
        with pytest.raises(TypeError, match=r"context .user. is .*: give a mapping"):
            enter("user", ctx)
    assert tracker.resolve_context() == {}


# --- blocks that end elsewhere ---------------------------------------------------------------------------


class ThreadLocator:
    """Has a dict for each thread, as event-tracking's of that name."""

    def __init__(self) -> None:
        self._here = threading.local()

    def get(self) -> dict[str, Any]:
        return self._here.__dict__.setdefault("contexts", {})


class SharedLocator:
    """Has one dict for all, as event-tracking's default."""

    def __init__(self) -> None:
        self.contexts: dict[str, Any] = {}

    def get(self) -> dict[str, Any]:
        return self.contexts


def opened(tracker: Tracker) -> Iterator[None]:
    """A generator that is within a block."""

    def parts() -> Iterator[None]:
        with tracker.context("request", {"path": "/stream"}):
            yield

    generator = parts()
    next(generator)
    return generator


@pytest.mark.parametrize("make_locator", [lambda: None, ThreadLocator])
@pytest.mark.parametrize("outer", [None, {"path": "/outer"}])
def test_a_block_that_another_thread_ends_leaves_the_contexts_of_that_thread_alone(
    make_locator: Callable[[], Any], outer: dict[str, Any] | None
):
    tracker = Tracker(context_locator=make_locator())

    def close(generator: Any) -> dict[str, Any]:
        with tracker.context("request", {"path": "/other"}):
            generator.close()
            return tracker.resolve_context()

    def run() -> None:
        if outer:
            tracker.enter_context("request", outer)
        generator = opened(tracker)
        assert in_a_thread(lambda: close(generator)) == {"path": "/other"}
        assert in_a_thread(tracker.resolve_context) == {}

    in_new_context(run)


def test_a_block_of_an_async_generator_that_another_task_closes_leaves_the_contexts_of_that_task_alone():
    tracker = Tracker()

    async def parts() -> AsyncIterator[None]:
        with tracker.context("request", {"path": "/stream"}):
            yield

    async def close(generator: Any) -> dict[str, Any]:
        with tracker.context("request", {"path": "/other"}):
            await generator.aclose()
            return tracker.resolve_context()

    async def main() -> dict[str, Any]:
        generator = parts()
        task = asyncio.create_task(close(generator))
        await anext(generator)
        return await task

    assert asyncio.run(main()) == {"path": "/other"}


# --- one dict for all threads ----------------------------------------------------------------------------


def test_a_block_that_another_thread_ends_is_over_where_all_share_one_dict():
    locator = SharedLocator()
    tracker = Tracker(context_locator=locator)
    tracker.enter_context("app", {"app": "shop"})
    generator: Any = opened(tracker)
    in_a_thread(generator.close)
    assert locator.contexts == {"app": {"app": "shop"}}


def test_the_end_of_a_block_changes_nothing_but_its_own_name_in_a_dict_that_others_read_meanwhile():
    class Watched(dict[str, Any]):
        def clear(self) -> None:
            super().clear()
            seen.append(dict(self))

        def __setitem__(self, name: str, ctx: Any) -> None:
            super().__setitem__(name, ctx)
            seen.append(dict(self))

    seen: list[dict[str, Any]] = []
    locator = SharedLocator()
    locator.contexts = Watched(request=1, app=2)
    with Tracker(context_locator=locator).context("request", {}):
        pass
    assert seen == [{"request": {}, "app": 2}, {"request": 1, "app": 2}]
    assert list(locator.contexts) == ["request", "app"]


def test_contexts_are_resolved_while_another_thread_enters_one_in_the_same_dict():
    class Entering(UserDict[str, Any]):
        def __getitem__(self, key: str) -> Any:
            in_a_thread(lambda: tracker.enter_context("new", {"new": True}))
            return super().__getitem__(key)

    memory = MemoryBackend()
    tracker = Tracker({"memory": memory}, context_locator=SharedLocator())
    tracker.enter_context("app", Entering(app="shop"))
    tracker.emit("first")
    tracker.emit("second")
    assert [event["context"] for event in memory.events] == [{"app": "shop"}, {"app": "shop", "new": True}]


# --- one block object, many that use it ------------------------------------------------------------------


def test_one_block_serves_many_threads_at_once_and_ends_for_each():
    tracker = Tracker()
    job = tracker.context("job", {"job": "nightly"})
    barrier = threading.Barrier(WORKERS)

    def work(_: int) -> list[Any]:
        seen = []
        for _ in range(ROUNDS):
            with job:
                barrier.wait()
                seen.append(tracker.resolve_context())
                barrier.wait()
            seen.append(tracker.resolve_context())
        return seen

    with ThreadPoolExecutor(WORKERS) as pool:
        assert list(pool.map(work, range(WORKERS))) == [[{"job": "nightly"}, {}] * ROUNDS] * WORKERS


def test_one_block_serves_many_tasks_and_greenlets_at_once():
    tracker = Tracker()
    job = tracker.context("job", {"job": "nightly"})

    async def work() -> list[Any]:
        with job:
            await asyncio.sleep(0)
            inside = tracker.resolve_context()
        await asyncio.sleep(0)
        return [inside, tracker.resolve_context()]

    async def main() -> list[Any]:
        return await asyncio.gather(*(work() for _ in range(WORKERS)))

    assert asyncio.run(main()) == [[{"job": "nightly"}, {}]] * WORKERS

    def serve() -> list[Any]:
        with job:
            gevent.sleep(0)
            inside = tracker.resolve_context()
        gevent.sleep(0)
        return [inside, tracker.resolve_context()]

    greenlets = [gevent.spawn(serve) for _ in range(WORKERS)]
    assert [greenlet.get() for greenlet in greenlets] == [[{"job": "nightly"}, {}]] * WORKERS


@pytest.mark.parametrize("make_locator", [lambda: None, ThreadLocator, SharedLocator])
def test_a_second_exit_does_nothing_here_and_nothing_to_a_thread_that_is_in_the_block(
    make_locator: Callable[[], Any],
):
    tracker = Tracker(context_locator=make_locator())

    def run() -> None:
        with tracker.context("outer", {"outer": True}):
            block = tracker.context("job", {"job": 1})
            block.__enter__()
            block.__exit__(None, None, None)
            block.__exit__(None, None, None)
            assert tracker.resolve_context() == {"outer": True}

    in_new_context(run)


def test_a_second_exit_in_one_thread_leaves_the_block_of_another():
    tracker = Tracker()
    block = tracker.context("job", {"job": 1})
    with block:
        pass
    with block:
        in_a_thread(lambda: block.__exit__(None, None, None))
        assert tracker.resolve_context() == {"job": 1}
    assert tracker.resolve_context() == {}


def test_blocks_that_end_in_another_order_than_they_began_each_take_their_own_away():
    tracker = Tracker()
    first, second = tracker.context("a", {"a": 1}), tracker.context("b", {"b": 1})
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert tracker.resolve_context() == {"b": 1}
    second.__exit__(None, None, None)
    assert tracker.resolve_context() == {}


def test_a_block_whose_end_was_carried_to_a_thread_is_over_here_too():
    tracker = Tracker()
    with tracker.context("outer", {"user": 1}):
        block = tracker.context("user", {"user": 2})
        block.__enter__()
        in_a_thread(carried(lambda: block.__exit__(None, None, None)))
        assert tracker.resolve_context() == {"user": 1}


def test_generators_of_one_thread_that_enter_contexts_end_in_any_order():
    tracker = Tracker()

    def parts(number: int) -> Iterator[None]:
        with tracker.context(f"part {number}", {f"part {number}": True}):
            yield

    generators = [parts(number) for number in range(4)]
    for generator in generators:
        next(generator)
    for number in (1, 3, 0, 2):
        next(generators[number], None)
    assert tracker.resolve_context() == {}


# --- blocks that cover nothing ---------------------------------------------------------------------------


@pytest.fixture
def unsaid() -> Iterator[None]:
    """Nothing was said so far of blocks that cover nothing."""
    contexts_module._warned.clear()
    yield
    contexts_module._warned.clear()


@pytest.mark.usefixtures("unsaid")
def test_a_block_that_ended_elsewhere_and_covered_nothing_says_so_once(caplog: pytest.LogCaptureFixture):
    tracker = Tracker()
    for _ in range(3):
        generator: Any = opened(tracker)
        in_a_thread(generator.close)
    (record,) = caplog.records
    assert "context 'request' covers nothing, or not all" in record.getMessage()
    assert "say(...)" in record.getMessage()


@pytest.mark.usefixtures("unsaid")
def test_a_block_that_missed_events_of_its_request_says_so_and_one_that_missed_none_does_not(
    caplog: pytest.LogCaptureFixture,
):
    tracker = Tracker()

    def run(name: str, *, miss: bool) -> None:
        with bound({"id": "r-1"}):
            block = tracker.context(name, {"user": 7})
            carried(block.__enter__)()
            if miss:
                tracker.emit("missed")
            carried(lambda: block.__exit__(None, None, None))()

    run("missed nothing", miss=False)
    assert not caplog.records
    run("missed one", miss=True)
    assert ["missed one" in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.usefixtures("unsaid")
def test_a_decorator_over_what_returns_a_coroutine_says_once_that_it_covers_nothing(
    caplog: pytest.LogCaptureFixture,
):
    tracker = Tracker()

    async def resolve() -> dict[str, Any]:
        return tracker.resolve_context()

    def parts() -> Iterator[int]:
        yield 1

    decorated = tracker.context("job", {"job": 1})(lambda: resolve())  # noqa: PLW0108, what it looks like from outside
    assert [asyncio.run(decorated()) for _ in range(2)] == [{}, {}]
    assert list(tracker.context("stream", {"job": 1})(lambda: parts())()) == [1]  # noqa: PLW0108
    assert len(caplog.records) == 2
    assert "returns a coroutine" in caplog.text
    assert "returns a generator" in caplog.text


# --- nested ----------------------------------------------------------------------------------------------


def test_nested_contexts_do_not_collide():
    tracker = Tracker()
    with (
        tracker.context("user", id=7, nested=True),
        tracker.context("team", {"id": 1}, nested=True, plan="tea"),
    ):
        assert tracker.resolve_context() == {"user": {"id": 7}, "team": {"id": 1, "plan": "tea"}}
        with tracker.context("user", id=8, nested=True):
            assert tracker.resolve_context()["user"] == {"id": 8}
    assert tracker.resolve_context() == {}


def test_values_of_a_context_may_be_given_by_name():
    tracker = Tracker()
    with tracker.context("a", x=1), tracker.context("b", {"y": 2}, z=3):
        assert tracker.resolve_context() == {"x": 1, "y": 2, "z": 3}
