"""A type annotation -> a function that tells whether a value is of it, as far as that can be seen."""

from __future__ import annotations

import types
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

Check = Callable[[Any], bool]

_WIDER: dict[type, tuple[type, ...]] = {float: (float, int), complex: (complex, float, int)}  # as for mypy
_MOST_ITEMS = 1000  # of a list or a dict that are looked at


def make_check(hint: Any) -> Check:  # noqa: PLR0911, a table of annotations
    """Return the check for an annotation; what cannot be checked passes."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is None or hint is types.NoneType:
        return lambda value: value is None
    if origin in (Union, types.UnionType):
        checks = [make_check(argument) for argument in arguments]
        return lambda value: any(check(value) for check in checks)
    if origin is Literal:
        return lambda value: any(value == one and type(value) is type(one) for one in arguments)
    if origin is Annotated:
        return make_check(arguments[0])
    if isinstance(hint, type) and origin is None:
        return _check_instance(hint)
    if isinstance(origin, type) and arguments:
        return _check_container(origin, arguments)
    return _check_instance(origin) if isinstance(origin, type) else _pass


def _pass(_value: Any) -> bool:
    return True


def _check_instance(cls: type) -> Check:
    kinds = _WIDER.get(cls, (cls,))

    def check(value: Any) -> bool:
        try:
            return isinstance(value, kinds)
        except TypeError:  # a protocol, or something else that cannot be asked
            return True

    return check


def _check_container(origin: type, arguments: tuple[Any, ...]) -> Check:
    is_origin = _check_instance(origin)
    if origin is tuple and arguments[-1] is not Ellipsis:
        places = [make_check(argument) for argument in arguments]
        return lambda value: (
            is_origin(value)
            and len(value) == len(places)
            and all(check(item) for check, item in zip(places, value, strict=True))
        )
    if issubclass(origin, Mapping):
        key, item = (make_check(argument) for argument in arguments)
        return lambda value: (
            is_origin(value) and all(key(name) and item(one) for name, one in _first(value.items()))
        )
    if issubclass(origin, Collection):
        element = make_check(arguments[0])
        return lambda value: (
            is_origin(value) and not isinstance(value, (str, bytes)) and all(map(element, _first(value)))
        )
    return is_origin


def _first(items: Any) -> list[Any]:
    return [item for item, _ in zip(items, range(_MOST_ITEMS))]  # noqa: B905, it ends with the shorter one
