"""A function whose calls are tracked: each emits an event that says how long it took and how it ended."""

from __future__ import annotations

import functools
from asyncio import CancelledError
from contextlib import contextmanager
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from time import perf_counter
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

P = ParamSpec("P")
R = TypeVar("R")


def tracked(
    emit: Callable[[Any, Mapping[str, Any]], object], name: Any, data: Mapping[str, Any]
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator, see `Tracker.tracked`."""
    always = dict(data)

    @contextmanager
    def watched() -> Iterator[None]:
        started = perf_counter()
        ended: dict[str, Any] = {"outcome": "success"}
        try:
            yield
        except (CancelledError, GeneratorExit):
            ended = {"outcome": "cancelled"}
            raise
        except BaseException as error:
            ended = {"outcome": "error", "error": type(error).__name__}
            raise
        finally:
            emit(name, {**always, "duration_ms": (perf_counter() - started) * 1000, **ended})

    def decorate(func: Callable[P, R]) -> Callable[P, R]:
        if isgeneratorfunction(func) or isasyncgenfunction(func):
            raise TypeError(f"@tracked({name!r}) tells nothing of {func!r}: what it returns runs later")

        @functools.wraps(func)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            with watched():
                return func(*args, **kwargs)

        @functools.wraps(func)
        async def run_coroutine(*args: P.args, **kwargs: P.kwargs) -> Any:
            with watched():
                return await cast("Any", func(*args, **kwargs))

        return cast("Callable[P, R]", run_coroutine) if iscoroutinefunction(func) else run

    return decorate
