"""What handlers are called with: a name, a context, and a place for notes to later handlers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress
from copy import copy, deepcopy
from functools import cache
from types import MemberDescriptorType, SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self


class Namespace(SimpleNamespace):
    """What handlers of one kind leave on an event: any attributes without an underscore in front."""

    def __setattr__(self, name: str, value: object) -> None:
        _refuse_private(name)
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        _refuse_private(name)
        super().__delattr__(name)


class Proc:
    """Notes that handlers leave for later handlers, in namespaces: `event.proc.billing.rate = 0.19`.

    Reading a namespace creates it. Nothing can be set on `proc` itself, so that unrelated handlers do not use
    the same attribute by accident.
    """

    def __getattr__(self, name: str) -> Namespace:
        if name.startswith("_"):  # what copy, pickle and inspection ask for
            raise AttributeError(f"proc has no {name}: a namespace's name does not begin with an underscore")
        namespace: Namespace = self.__dict__.setdefault(name, Namespace())
        return namespace

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"proc.{name} is a namespace and cannot be set; set attributes of it")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"proc.{name} is a namespace and cannot be deleted; delete attributes of it")

    def __repr__(self) -> str:
        return f"Proc({', '.join(f'{name}={namespace!r}' for name, namespace in self.__dict__.items())})"


class Event(ABC):
    """An event that handlers can annotate; subclasses define `name` and add their own data.

    Args:
        ctxt: what handlers need to know about the event's origin; None by default.
    """

    __slots__ = ("_ctxt", "_proc")  # a subclass has its own `__dict__`, in which nothing of this class appears

    _ctxt: Any
    _proc: Proc

    def __init__(self, ctxt: Any = None) -> None:
        object.__setattr__(self, "_ctxt", ctxt)  # a subclass may use attributes as data
        object.__setattr__(self, "_proc", Proc())

    @property
    @abstractmethod
    def name(self) -> str:
        """The event's name, which selects its handlers."""

    @property
    def ctxt(self) -> Any:
        """What handlers need to know about the event's origin."""
        return self._ctxt

    @ctxt.setter
    def ctxt(self, ctxt: Any) -> None:
        object.__setattr__(self, "_ctxt", ctxt)

    @property
    def proc(self) -> Proc:
        """Notes for later handlers, in namespaces."""
        return self._proc

    def __copy__(self) -> Self:
        copied = object.__new__(type(self))
        for slot, value in _filled_slots(self):
            slot.__set__(copied, value)  # set this way because a subclass may be frozen
        if hasattr(self, "__dict__"):
            vars(copied).update(vars(self))
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copied = copy(self)  # shares ctxt, which cannot always be copied
        memo[id(self)] = copied
        for slot, value in _filled_slots(self):
            if slot.__name__ != "_ctxt":
                slot.__set__(copied, deepcopy(value, memo))
        if hasattr(self, "__dict__"):
            vars(copied).update(deepcopy(vars(self), memo))
        return copied


def _refuse_private(name: str) -> None:
    if name.startswith("_"):
        raise AttributeError(f"{name}: the name of an attribute here does not begin with an underscore")


def _filled_slots(event: Event) -> Iterator[tuple[MemberDescriptorType, Any]]:
    for slot in _find_slots(type(event)):
        with suppress(AttributeError):
            yield slot, slot.__get__(event)


@cache
def _find_slots(cls: type) -> tuple[MemberDescriptorType, ...]:
    members = (member for base in cls.__mro__ for member in vars(base).values())
    return tuple(member for member in members if isinstance(member, MemberDescriptorType))
