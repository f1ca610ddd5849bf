"""Processors that keep personal data out of events: `Redact` takes it away, `Hash` makes a pseudonym of it.

They run after all other processors of their router, in whichever order those are registered, so that nothing
that is added to an event gets past them.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from eventpub.serialization.serialize import serialize_json_event

from .errors import FilterError
from .fields import FieldReplacer

if TYPE_CHECKING:
    from collections.abc import Callable

E = TypeVar("E")

REDACTED = "[redacted]"

_BLOCK_BYTES = 64  # of SHA-256


class Redact:
    """Replaces what fields hold by "[redacted]", at any depth.

    Args:
        fields: patterns, such as "card", "user.email", "*.password", "*_token"; see `fields`.

    Raises:
        FilterError: (a ValueError) there is none, or one is not a pattern.
    """

    runs_last = True

    def __init__(self, *fields: str) -> None:
        self.fields = fields
        self._replace_fields = FieldReplacer(fields, _redact)

    def __call__(self, event: E) -> E:
        """Return the event without them."""
        return self._replace_fields(event)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"Redact({', '.join(map(repr, self.fields))})"


class Hash:
    """Replaces what fields hold by a keyed pseudonym: HMAC-SHA256 of the text, as 64 hexadecimal digits.

    The same text has the same pseudonym in all processes that have the key, and nobody without it can try out
    which text it is. None stays None.

    Args:
        fields: patterns, as for `Redact`.
        key_variable: the environment variable that holds the key.
        key_file: the file that holds it; a line end at its end does not count.
        key: the key itself; one of these three.

    Raises:
        FilterError: (a ValueError) a pattern is wrong, or the key is missing.
    """

    runs_last = True

    def __init__(
        self,
        *fields: str,
        key_variable: str | None = None,
        key_file: str | os.PathLike[str] | None = None,
        key: bytes | None = None,
    ) -> None:
        self.fields = fields
        self._replace_fields = FieldReplacer(fields, self._replace)
        self._pseudonym = _make_hmac(_read_key(key_variable, key_file, key))

    def __call__(self, event: E) -> E:
        """Return the event with pseudonyms in their place."""
        return self._replace_fields(event)  # type: ignore[no-any-return]

    def _replace(self, value: Any) -> Any:
        if value is None:
            return None
        if value.__class__ is str:
            return self._pseudonym(value.encode("utf-8", "surrogatepass"))
        return self._pseudonym(value if isinstance(value, bytes) else _write_text(value))

    def __repr__(self) -> str:  # without the key
        return f"Hash({', '.join(map(repr, self.fields))})"


def _redact(_value: Any) -> str:
    return REDACTED


def _write_text(value: Any) -> bytes:
    """Return the text of a value as JSON has it: 7 and "7" have one pseudonym."""
    written = serialize_json_event({"": value})[4:-1]
    return written[1:-1] if written.startswith(b'"') else written


def _read_key(variable: str | None, file: str | os.PathLike[str] | None, key: bytes | None) -> bytes:
    if sum(given is not None for given in (variable, file, key)) != 1:
        raise FilterError("key", "given", "takes one place: key_variable, key_file, or key")
    if variable is not None:
        text = os.environ.get(variable, "")
        if not text:
            raise FilterError("key_variable", repr(variable), "is not set; set it to a long random text")
        return text.encode("utf-8", "surrogateescape")
    if file is not None:
        try:
            key = Path(file).read_bytes().rstrip(b"\r\n")
        except OSError as error:
            raise FilterError("key_file", repr(os.fspath(file)), f"cannot be read: {error.strerror}") from None
    if not key:
        raise FilterError("key", "(not shown)", "is empty; give a long random text")
    return key


def _make_hmac(key: bytes) -> Callable[[bytes], str]:
    """Return what makes the HMAC of a message; the key's part is done once, a quarter of hmac's time."""
    if len(key) > _BLOCK_BYTES:
        key = hashlib.sha256(key).digest()
    block = key.ljust(_BLOCK_BYTES, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
    outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def write_hmac(message: bytes) -> str:
        within, around = inner.copy(), outer.copy()
        within.update(message)
        around.update(within.digest())
        return around.hexdigest()

    return write_hmac
