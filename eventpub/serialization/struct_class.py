"""Which struct class events are, named as `package.module:Class`."""

from __future__ import annotations

import importlib

from .errors import StructClassError
from .thrift_spec import is_struct_class, read_declared

DEFAULT_SCHEMA = "eventpub.schemas.event.ttypes:Event"
ANY = "any"  # in place of a class: events stay as they came


def load_struct_class(name: str) -> type:
    """Return the struct class that `package.module:Class` names.

    Raises:
        StructClassError: it cannot be used.
    """
    module_name, separator, class_name = name.partition(":")
    if not (separator and module_name and class_name):
        raise StructClassError("", f"expected package.module:Class, or {ANY}")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (Exception, SystemExit) as error:  # the module is not ours, and may raise anything
        reason = f"cannot be imported: {type(error).__name__}: {error}; is its folder on PYTHONPATH?"
        raise StructClassError(name, reason) from error
    if not isinstance(found, type) or not is_struct_class(found) or not hasattr(found, "write"):
        raise StructClassError(name, "is not a struct class that the thrift compiler wrote")
    if not read_declared(found):
        raise StructClassError(name, "has no fields that can be read; are there maps with struct or list keys?")
    return found
