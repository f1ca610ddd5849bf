"""INI file -> one frozen dataclass per section, for every process that is configured by a file.

A setting is one declaration: a dataclass field made by `setting`, which names its key, its `Kind` (how text
becomes a value, and in words what is allowed) and its default, which an empty value also means. Everything that
can be wrong with a file is a `ConfigError` that names section, key, value and what is allowed: unknown,
missing, duplicate, unreadable and out-of-range keys. Values of secret settings are never shown.

A value stands on one line. A line that is indented by mistake would be part of the value above it, and a secret
in it would be shown with that.

`${VAR}` and `$VAR` in a value are taken from the environment. Keys of a `[DEFAULT]` section apply to sections
that know them; others ignore them, since that section may be shared with other programs.
"""

from __future__ import annotations

import base64
import binascii
import configparser
import dataclasses
import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from eventpub.errors import ConfigError

from .did_you_mean import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")
N = TypeVar("N", int, float)

NOT_SHOWN = "(not shown)"
_LIKE_A_SECRET = re.compile(r"[a-z0-9+/]{16,}", re.IGNORECASE)
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)")
_BYTE_UNITS = {
    "": 1,
    "B": 1,
    "KIB": 1024,
    "MIB": 1024**2,
    "GIB": 1024**3,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
}
_SECOND_UNITS = {"": 1.0, "S": 1.0, "MS": 0.001, "MIN": 60.0, "H": 3600.0, "D": 86400.0}


@dataclasses.dataclass(frozen=True)
class Kind(Generic[T]):
    """How the text of a setting becomes its value, and in words what is allowed.

    `parse` raises ValueError for anything else; errors show `allowed`, not its message.
    """

    parse: Callable[[str], T]
    allowed: str


def setting(
    name: str,
    kind: Kind[T],
    *,
    default: Any = dataclasses.MISSING,
    secret: bool = False,
    live: bool = True,
) -> Any:
    """Declare the dataclass field for key `name`; without a `default` the key is required.

    A `secret` setting is left out of the dataclass's repr and of every error. One that is not `live` is read at
    the start only: a running process does not take another value.
    """
    metadata = {"key": name, "kind": kind, "secret": secret, "live": live}
    return dataclasses.field(default=default, repr=not secret, metadata=metadata)


def load_file(path: str | os.PathLike[str]) -> configparser.RawConfigParser:
    """Read an INI file.

    Raises:
        ConfigError: the file cannot be read, is not an INI file, or names a section or a key twice.
    """
    parser = configparser.RawConfigParser(interpolation=None)
    place = os.fspath(path)
    try:
        with Path(path).open(encoding="utf-8-sig") as file:
            parser.read_file(file)
    except OSError as error:
        raise ConfigError(place, "", "", f"the file cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(place, "", "", f"the file is not UTF-8 (byte {error.start})") from error
    except configparser.DuplicateOptionError as error:
        twice = f"appears twice (again in line {error.lineno}); keep one"
        raise ConfigError(error.section, show_key(error.option), "", twice) from None
    except configparser.DuplicateSectionError as error:
        twice = f"the section appears twice (again in line {error.lineno})"
        raise ConfigError(error.section, "", "", twice) from None
    except configparser.MissingSectionHeaderError as error:
        raise ConfigError(place, "", "", f"line {error.lineno} comes before any [section]") from None
    except configparser.ParsingError as error:
        lines = ", ".join(str(number) for number, _ in error.errors)
        raise ConfigError(place, "", "", f"line {lines} is neither a section, a key nor a comment") from None
    return parser


def read_section(parser: configparser.RawConfigParser, section: str, cls: type[T]) -> T:
    """Build the settings dataclass `cls` from a section of a loaded file.

    Raises:
        ConfigError: the section is missing, or holds an unknown, missing or out-of-range key.
    """
    given = section_items(parser, section)
    declared = {f.metadata["key"]: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in given:
        if key not in declared and key not in parser.defaults():
            hint = did_you_mean(key, declared)
            raise ConfigError(
                section, show_key(key), "", f"unknown key{hint} (known: {', '.join(sorted(declared))})"
            )
    values = {}
    for key, field in declared.items():
        if given.get(key) or (key in given and field.default is dataclasses.MISSING):
            _check_one_line(section, key, given[key])
            text = expand_variables(section, key, given[key])
            try:
                values[field.name] = field.metadata["kind"].parse(text)
            except ValueError:
                shown = NOT_SHOWN if field.metadata["secret"] else text
                raise ConfigError(section, key, shown, f"expected {field.metadata['kind'].allowed}") from None
        elif field.default is dataclasses.MISSING:
            raise ConfigError(section, key, "", f"is missing; expected {field.metadata['kind'].allowed}")
    return cls(**values)


def changed_keys(old: Any, new: Any, *, live: bool | None = None) -> set[str]:
    """Return the keys of two `read_section` results that have different values.

    Args:
        old: the one.
        new: the other.
        live: True for those that a running process takes, False for those that are read at the start only;
            default: both.
    """
    return {
        field.metadata["key"]
        for field in dataclasses.fields(old)
        if live in (None, field.metadata["live"]) and getattr(old, field.name) != getattr(new, field.name)
    }


def section_items(
    parser: configparser.RawConfigParser, section: str, *, is_secret: bool = False
) -> dict[str, str]:
    """Return the keys and raw values of a section.

    Where all values are secrets, and so none is ever shown, they may have several lines.

    Raises:
        ConfigError: there is no such section; the message lists the existing ones. Or a value goes on in
            another line.
    """
    if not parser.has_section(section):
        there = ", ".join(f"[{name}]" for name in parser.sections()) or "none"
        raise ConfigError(section, "", "", f"no such section in the file (sections: {there})")
    items = dict(parser.items(section))
    for key, value in items.items():
        if not is_secret and value != parser.defaults().get(key):  # those are checked where they are used
            _check_one_line(section, key, value)
    return items


def show_key(key: str) -> str:
    """Return a key as errors may show it: a secret that is broken into lines looks like keys, `wrap=`."""
    return NOT_SHOWN if _LIKE_A_SECRET.fullmatch(key) else key


def _check_one_line(section: str, key: str, value: str) -> None:
    if "\n" in value:
        wrong = "goes on in an indented line; begin each [section] and key at the start of its line"
        raise ConfigError(section, show_key(key), "", f"{wrong}, and write each value on one line")


def expand_variables(section: str, key: str, text: str) -> str:
    """Replace `${VAR}` and `$VAR` in a value from the environment.

    Raises:
        ConfigError: a variable in braces is not set.
    """

    def variable(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name in os.environ:
            return os.environ[name]
        if match[1] is None:
            return match[0]  # a lone dollar sign means itself, as in os.path.expandvars
        raise ConfigError(section, key, match[0], f"the environment variable {name} is not set")

    return _VARIABLE.sub(variable, text)


# --- kinds -----------------------------------------------------------------------------------------------


def text(allowed: str = "a text", pattern: str = r".+") -> Kind[str]:
    """Text that matches `pattern` as a whole."""
    compiled = re.compile(pattern)

    def parse(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError
        return value

    return Kind(parse, allowed)


def queue_name() -> Kind[str]:
    """A valid queue name."""
    return text("letters, digits, dots, dashes and underscores", r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}")


def choice(*options: str) -> Kind[str]:
    """One of a few words, in upper or lower case."""
    as_written = {option.lower(): option for option in options}

    def parse(value: str) -> str:
        if value.lower() not in as_written:
            raise ValueError
        return as_written[value.lower()]

    return Kind(parse, "one of " + ", ".join(options))


def integer(minimum: int, maximum: int) -> Kind[int]:
    """A whole number in a range."""

    def parse(value: str) -> int:
        return _in_range(_parse_digits(value), minimum, maximum)

    return Kind(parse, f"a whole number from {minimum:,} to {maximum:,}")


def size(minimum: int, maximum: int) -> Kind[int]:
    """A number of bytes, with or without a unit: `512000`, `500 KiB`, `1 GiB`."""

    def parse(value: str) -> int:
        return _in_range(int(_parse_quantity(value, _BYTE_UNITS)), minimum, maximum)

    return Kind(parse, f"bytes, or a number with KiB, MiB or GiB, from {minimum:,} to {maximum:,} bytes")


def seconds(minimum: float, maximum: float) -> Kind[float]:
    """A duration in seconds, with or without a unit: `1`, `500 ms`, `5 min`."""

    def parse(value: str) -> float:
        return _in_range(_parse_quantity(value, _SECOND_UNITS), minimum, maximum)

    return Kind(
        parse, f"seconds, or a number with ms, s, min, h or d, from {minimum:,.12g} to {maximum:,.12g} seconds"
    )


def boolean() -> Kind[bool]:
    """Yes or no, in the words that configparser accepts."""

    def parse(value: str) -> bool:
        try:
            return configparser.RawConfigParser.BOOLEAN_STATES[value.lower()]
        except KeyError:
            raise ValueError from None

    return Kind(parse, "yes or no")


def base64_bytes() -> Kind[bytes]:
    """Bytes written as base64; at least one."""

    def parse(value: str) -> bytes:
        try:
            decoded = base64.b64decode("".join(value.split()), validate=True)
        except binascii.Error:
            raise ValueError from None
        if not decoded:
            raise ValueError
        return decoded

    return Kind(parse, "a secret in base64 (make one with: head -c 32 /dev/urandom | base64)")


def file_mode() -> Kind[int]:
    """Permission bits in octal, as for chmod."""

    def parse(value: str) -> int:
        return _in_range(_parse_digits(value, base=8), 0, 0o777)

    return Kind(parse, "an octal file mode such as 0600 or 0620")


def path(*, is_absolute: bool = False) -> Kind[Path]:
    """A file or folder, optionally only an absolute one; `~` is the user's home."""

    def parse(value: str) -> Path:
        if not value or "\0" in value:
            raise ValueError
        try:
            path_ = Path(value).expanduser()
        except RuntimeError:  # ~nobody-of-that-name
            raise ValueError from None
        if is_absolute and not path_.is_absolute():
            raise ValueError
        return path_

    return Kind(parse, "an absolute path, from / or ~" if is_absolute else "a path")


def _parse_digits(value: str, base: int = 10) -> int:
    if not value.isascii() or "_" in value:  # int() accepts the digits of every script
        raise ValueError
    return int(value, base)


def _parse_quantity(value: str, units: Mapping[str, float]) -> float:
    match = _QUANTITY.fullmatch(value.strip())
    if not match or match[2].upper() not in units:
        raise ValueError
    number = float(match[1]) * units[match[2].upper()]
    if math.isinf(number):  # 400 digits: int() of it does not raise ValueError
        raise ValueError
    return number


def _in_range(value: N, minimum: N, maximum: N) -> N:
    if not minimum <= value <= maximum:
        raise ValueError
    return value
