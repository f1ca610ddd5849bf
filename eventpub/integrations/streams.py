"""The parts of a streamed response, each produced while its request is bound.

What the body enters in one part is entered in the next, and nothing remains bound between them, so one thread
or task may serve several streams by turns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from eventpub import ambient

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator

    from .served import ServedRequest

P = TypeVar("P")


class BoundBody(Generic[P]):
    """A body that is iterated.

    Args:
        body: what makes the parts.
        served: the request it answers, bound while it does; finished by `close`.
    """

    def __init__(self, body: Iterable[P], served: ServedRequest) -> None:
        self._body = body
        self._served = served
        with ambient.Running(served):
            self._parts = iter(body)

    def __iter__(self) -> Iterator[P]:
        return self

    def __next__(self) -> P:
        with ambient.Running(self._served):
            return next(self._parts)

    def close(self) -> None:
        """Let the body clean up; a server calls it, whether all parts were sent or not."""
        self._served.finish()
        if close := getattr(self._body, "close", None):
            with ambient.Running(self._served):
                close()


class BoundAsyncBody(Generic[P]):
    """A body that is iterated asynchronously.

    Args:
        body: what makes the parts.
        served: the request it answers, bound while it does.
    """

    def __init__(self, body: AsyncIterable[P], served: ServedRequest) -> None:
        self._body = body
        self._served = served
        with ambient.Running(served):
            self._parts = aiter(body)

    def __aiter__(self) -> AsyncIterator[P]:
        return self

    async def __anext__(self) -> P:
        with ambient.Running(self._served):
            return await anext(self._parts)

    async def aclose(self) -> None:
        """Let the body clean up, whether all parts were sent or not."""
        if aclose := getattr(self._body, "aclose", None):
            with ambient.Running(self._served):
                await aclose()
