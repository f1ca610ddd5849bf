"""The parts of a streamed response, each produced while its request is bound.

Nothing remains bound in between, so one thread or task can serve several streams in turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from .request_context import bound

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator

P = TypeVar("P")


class BoundBody(Generic[P]):
    """A body that is iterated.

    Args:
        body: produces the parts.
        request: bound meanwhile.
    """

    def __init__(self, body: Iterable[P], request: dict[str, str]) -> None:
        self._body = body
        self._request = request
        with bound(request):
            self._parts = iter(body)

    def __iter__(self) -> Iterator[P]:
        return self

    def __next__(self) -> P:
        with bound(self._request):
            return next(self._parts)

    def close(self) -> None:
        """Let the body clean up; servers call it whether all parts were sent or not."""
        if close := getattr(self._body, "close", None):
            with bound(self._request):
                close()


class BoundAsyncBody(Generic[P]):
    """A body that is iterated asynchronously.

    Args:
        body: produces the parts.
        request: bound meanwhile.
    """

    def __init__(self, body: AsyncIterable[P], request: dict[str, str]) -> None:
        self._body = body
        self._request = request
        with bound(request):
            self._parts = aiter(body)

    def __aiter__(self) -> AsyncIterator[P]:
        return self

    async def __anext__(self) -> P:
        with bound(self._request):
            return await anext(self._parts)

    async def aclose(self) -> None:
        """Let the body clean up, whether all parts were sent or not."""
        if aclose := getattr(self._body, "aclose", None):
            with bound(self._request):
                await aclose()
