"""`[schemas]`: which struct class the version 2 events of a key are."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from eventpub.errors import ConfigError
from eventpub.serialization.errors import StructClassError
from eventpub.serialization.struct_class import ANY, DEFAULT_SCHEMA, load_struct_class

from .objects import AnyForm
from .structs import StructForm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .form import Form

SECTION = "schemas"
DEFAULT_KEY = "default"  # of the keys that the section does not name


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

    def find_class(self, key_name: str) -> type | None:
        """Return the struct class of a key's version 2 events; None where they may be any struct."""
        form = self.find(key_name)
        return form.struct_class if isinstance(form, StructForm) else None

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
    try:
        return load_struct_class(schema)
    except StructClassError as error:
        shown = schema if error.name else "(not shown)"  # it may be a secret that belongs into [keys]
        raise ConfigError(SECTION, key, shown, error.reason) from error
