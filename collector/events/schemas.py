"""`[schemas]`: which struct class the version 2 events of a key are."""

from __future__ import annotations

import importlib
from types import MappingProxyType
from typing import TYPE_CHECKING

from eventpub.errors import ConfigError
from eventpub.serialization.thrift_spec import is_struct_class, read_declared

from .objects import AnyForm
from .structs import StructForm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .form import Form

SECTION = "schemas"
DEFAULT_KEY = "default"  # of the keys that the section does not name
DEFAULT_SCHEMA = "eventpub.schemas.event.ttypes:Event"
ANY = "any"


class Schemas:
    """The forms of version 2 events, by key.

    Args:
        named: what `[schemas]` says: the schema of each key, and of all others under `default`.

    Raises:
        ConfigError: a schema cannot be used.
    """

    def __init__(self, named: Mapping[str, str] = MappingProxyType({})) -> None:
        loaded: dict[str, Form] = {}
        forms: dict[str, Form] = {}
        for key, schema in {DEFAULT_KEY: DEFAULT_SCHEMA, **named}.items():
            if schema not in loaded:
                loaded[schema] = _load_form(key, schema)
            forms[key] = loaded[schema]
        self._default = forms.pop(DEFAULT_KEY)
        self._forms = forms

    def find(self, key_name: str) -> Form:
        """Return the form of the version 2 events of a key."""
        return self._forms.get(key_name, self._default)


def _load_form(key: str, schema: str) -> Form:
    return AnyForm() if schema == ANY else StructForm(load_class(key, schema))


def load_class(key: str, schema: str) -> type:
    """Return the struct class that `package.module:Class` names.

    Args:
        key: of `[schemas]`, for the message.
        schema: the text.

    Raises:
        ConfigError: it cannot be used.
    """
    module_name, separator, class_name = schema.partition(":")
    if not (separator and module_name and class_name):
        allowed = f"expected package.module:Class, or {ANY}"
        raise ConfigError(SECTION, key, "(not shown)", allowed)  # a secret that belongs into [keys]
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (Exception, SystemExit) as error:  # the module is not ours, and may raise anything
        reason = f"cannot be imported: {type(error).__name__}: {error}; is its folder on PYTHONPATH?"
        raise ConfigError(SECTION, key, schema, reason) from error
    if not isinstance(found, type) or not is_struct_class(found) or not hasattr(found, "write"):
        raise ConfigError(SECTION, key, schema, "is not a struct class that the thrift compiler wrote")
    if not read_declared(found):
        raise ConfigError(
            SECTION, key, schema, "has no fields that can be read; are there maps with struct or list keys?"
        )
    return found
