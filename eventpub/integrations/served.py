"""A request from its beginning to its end, however many stretches of work, threads and tasks that takes.

It is described when the first event asks, so what middleware made of it by then counts (the client that a proxy
tells of), and requests without events cost next to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any

from eventpub.ambient import NOTHING_KEPT, find_served

if TYPE_CHECKING:
    from collections.abc import Callable

# Of the request's mark, its `id`, in a WSGI environ and in an ASGI scope: not of itself, which refers to these.
REQUEST_KEY = "eventpub.request"

_NAME = "request"


class ServedRequest:
    """What events say of a request.

    Args:
        describe: returns what is known of it, by the names of the Thrift `Request`, in a dict of its own; None
            for a job without a request.
        find_route: returns the route that matched, or None as long as it is not known; asked at each event
            until it is.
    """

    __slots__ = (
        "_began", "_describe", "_find_route", "_known", "_said",
        "is_finished", "is_over", "kept", "said", "told",
    )  # fmt: skip

    def __init__(
        self,
        describe: Callable[[], dict[str, Any]] | None,
        find_route: Callable[[], str | None] | None = None,
    ) -> None:
        self.kept = NOTHING_KEPT
        self.is_over = self.is_finished = False
        self.told = 0
        self.said: dict[str, Any] | None = None  # as long as there is more to find out
        self._describe = describe
        self._find_route = find_route
        self._known: list[dict[str, Any]] = []  # since the last event, besides what is described
        self._said: dict[str, Any] = {}
        self._began = perf_counter()

    def tell(self) -> dict[str, Any]:
        """Return what events say; it may grow."""
        said, known = self._said, self._known
        if _NAME not in said and self._describe is not None:
            said.setdefault(_NAME, self._describe())  # of two threads the first has described it
        if self._find_route is not None and (route := self._find_route()):
            self._find_route = None
            known.append({"route": route})
        if self._find_route is None:
            self.said = said  # before what is known is looked at: what comes to be known now takes it back
        while known:
            said[_NAME] = {**said.get(_NAME, {}), **known.pop(0)}  # anew, since events hold what it was
        return said

    def say(self, said: Mapping[str, Any]) -> None:
        """Have events say something besides, or more of the request itself.

        Raises:
            TypeError: `request` is not a mapping.
        """
        more = dict(said)
        request = more.pop(_NAME, {})
        if not isinstance(request, Mapping):
            kind = type(request).__name__
            raise TypeError(f"say(request=...) got a {kind}: give a mapping, such as {{'id': ...}}")
        self._said.update(more)
        if request:
            self.know(**request)

    def know(self, **known: Any) -> None:
        """Add to what is known of the request; the next event says it."""
        self._known.append(known)
        self.said = None

    def finish(self) -> None:
        """Note that its last byte was handed over."""
        if self.is_finished:
            return
        self.is_finished = True
        if self._describe is not None:
            self.know(duration_ms=round((perf_counter() - self._began) * 1000, 3))


def is_served(mark: int | None) -> bool:
    """Tell whether a mark that was left at `REQUEST_KEY` is of the request that is served here and now."""
    if mark is None:
        return False
    served = find_served()
    return served is not None and id(served) == mark and not served.is_finished
