"""Kinds of settings that name functions: `package.module:function`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from .ini import Kind

Function = Callable[..., Any]


def import_function(name: str) -> Function:
    """Return a function by its name.

    Raises:
        ValueError: it cannot be imported, or cannot be called.
    """
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError):
        raise ValueError from None
    if callable(found):
        return found  # type: ignore[no-any-return]
    raise ValueError


def function(named: Mapping[str, Function] | None = None) -> Kind[Function]:
    """A function, by its name or by one of the short ones."""
    short = named or {}
    words = "".join(f"{word}, " for word in short)
    return Kind(
        lambda value: short.get(value) or import_function(value),
        f"{words}{'or ' if short else ''}package.module:function of a function that can be imported",
    )


def functions() -> Kind[tuple[Function, ...]]:
    """Functions by their names, with commas or blanks between them."""
    return Kind(
        lambda value: tuple(map(import_function, value.replace(",", " ").split())),
        "package.module:function of functions that can be imported, with commas between",
    )
