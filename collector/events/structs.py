"""Events that are structs of a class: Thrift JSON -> checked values -> plain JSON by field names.

The compiled decoder (`typed`) reads what is common; what it does not take is read again by the explaining
decoder of `eventpub.serialization`, which takes it, or says what is wrong and where.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from eventpub.serialization.errors import DecodeError
from eventpub.serialization.thrift_json_decode import decode_struct, load_json
from eventpub.serialization.thrift_plain import UNKNOWN_FIELDS, UnknownFields, to_plain

from .form import Limits, Reading
from .objects import UNDECODABLE, split_array
from .rows import UnwritableError, check_size, make_row, write_json
from .typed import NotCommonError, compile_class, compile_row

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from eventpub.collector.store import EventRow

_encode = msgspec.json.Encoder().encode


class StructForm:
    """Structs of one class.

    Args:
        cls: a class the thrift compiler wrote.

    Attributes:
        struct_class: the same.
    """

    def __init__(self, cls: type) -> None:
        self.struct_class = cls
        compiled = compile_class(cls)
        self._convert = compiled.convert
        self._structs = msgspec.json.Decoder(list[compiled.wire])  # type: ignore[name-defined]
        self._struct = msgspec.json.Decoder(compiled.wire)
        self._make_row = compile_row(cls)

    def read(self, array: bytes, limits: Limits, unknown: Counter[str]) -> Reading:
        """Take a JSON array of events apart, as `Form` says."""
        try:
            structs = self._structs.decode(array)
        except UNDECODABLE:
            pass
        else:
            return Reading(len(structs), self._read_structs(array, structs, limits, unknown))
        try:
            texts = split_array(array)
        except UNDECODABLE:
            documents: Any = load_json(array)
            return Reading(len(documents), (self._explain(document, limits, unknown) for document in documents))
        return Reading(len(texts), (self._read_text(text, limits, unknown) for text in texts))

    def _read_structs(
        self, array: bytes, structs: list[Any], limits: Limits, unknown: Counter[str]
    ) -> Iterator[EventRow | str]:
        texts: list[str] = []
        for index, struct in enumerate(structs):
            try:
                yield self._store(struct, limits)
            except (NotCommonError, RecursionError):
                texts = texts or split_array(array)
                yield self._explain(load_json(texts[index].encode()), limits, unknown)

    def _read_text(self, text: str, limits: Limits, unknown: Counter[str]) -> EventRow | str:
        try:
            return self._store(self._struct.decode(text), limits)
        except (*UNDECODABLE, NotCommonError):
            return self._explain(load_json(text.encode()), limits, unknown)

    def _store(self, struct: Any, limits: Limits) -> EventRow | str:
        plain = self._convert(struct)
        encoded = _encode(plain)
        try:
            check_size(len(encoded), limits.max_event_bytes)
        except UnwritableError as error:
            return str(error)
        return self._make_row(plain, encoded.decode())

    def _explain(self, document: object, limits: Limits, unknown: Counter[str]) -> EventRow | str:
        found = UnknownFields()
        try:
            plain = to_plain(decode_struct(self.struct_class, document, found), found)
            row = make_row(plain, write_json(plain), limits.max_event_bytes)
        except (DecodeError, UnwritableError) as error:
            return str(error)
        if found.ids and limits.is_strict:
            return f"{next(_find_unknown(plain))}: the schema has no such field, and schema.strict = yes"
        unknown.update(found.ids)
        return row


def _find_unknown(value: Any, path: str = "") -> Iterator[str]:
    """Yield the paths of the unknown fields in a plain event."""
    for key, element in value.items() if isinstance(value, dict) else enumerate(value):
        if str(key).rstrip("_") == UNKNOWN_FIELDS and isinstance(
            element, dict
        ):  # with a _ if the struct has it
            yield from (f"{path}{number}" for number in element)
        elif isinstance(element, (dict, list)):
            step = f"{path.rstrip('.')}[{key}]." if isinstance(value, list) else f"{path}{key}."
            yield from _find_unknown(element, step)
