"""INI file -> one frozen dataclass per section, for every process that is configured by a file.

A setting is one declaration: a dataclass field made by `setting`, which names its key, its `Kind` (`kinds`) and
its default, which an empty value also means. Everything that
can be wrong with a file is a `ConfigError` that names section, key, value and what is allowed: unknown,
missing, duplicate, unreadable and out-of-range keys. Values of secret settings are never shown.

A value stands on one line. A line that is indented by mistake would be part of the value above it, and a secret
in it would be shown with that.

`${VAR}` and `$VAR` in a value are taken from the environment. Keys of a `[DEFAULT]` section apply to sections
that know them; others ignore them, since that section may be shared with other programs.
"""

from __future__ import annotations

import configparser
import dataclasses
import os
import re
from pathlib import Path
from typing import Any, TypeVar

from eventpub.errors import ConfigError, NotYetError

from .did_you_mean import did_you_mean
from .kinds import (
    Kind,
    base64_bytes,
    boolean,
    choice,
    file_mode,
    integer,
    path,
    queue_name,
    seconds,
    size,
    text,
)
from .momentary import is_momentary

__all__ = [
    "NOT_SHOWN",
    "Kind",
    "base64_bytes",
    "boolean",
    "changed_keys",
    "choice",
    "expand_variables",
    "file_mode",
    "integer",
    "load_file",
    "path",
    "queue_name",
    "read_section",
    "seconds",
    "section_items",
    "setting",
    "show_key",
    "size",
    "text",
]

T = TypeVar("T")

NOT_SHOWN = "(not shown)"
_MAX_CHARACTERS = 4 * 1024 * 1024  # of a file; bounds the reading of paths such as /dev/zero
_LIKE_A_SECRET = re.compile(r"[a-z0-9+/]{16,}", re.IGNORECASE)
_HAS_A_SECRET = re.compile(r"(?=[a-z+/]*[0-9])[a-z0-9+/]{12,}", re.IGNORECASE)  # no word of a key is like that
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


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
        NotYetError: this host cannot open files now.
        ConfigError: the file cannot be read, is not an INI file, or names a section or a key twice.
    """
    parser = configparser.RawConfigParser(interpolation=None)
    place = os.fspath(path)
    try:
        with Path(path).open(encoding="utf-8-sig") as file:
            content = file.read(_MAX_CHARACTERS + 1)
        if len(content) > _MAX_CHARACTERS:
            raise ConfigError(place, "", "", f"the file has more than {_MAX_CHARACTERS:,} characters")
        parser.read_string(content)
    except OSError as error:
        kind = NotYetError if is_momentary(error) else ConfigError
        raise kind(place, "", "", f"the file cannot be read: {error.strerror}") from error
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
    """Return a key as errors may show it.

    A secret that is broken into lines looks like keys, `wrap=`, and one behind a key without an equals sign
    like a part of it.
    """
    name, blank, _ = key.partition(" ")
    if _LIKE_A_SECRET.fullmatch(name):
        return NOT_SHOWN
    return _HAS_A_SECRET.sub(NOT_SHOWN, name) + (f" {NOT_SHOWN}" if blank else "")


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
