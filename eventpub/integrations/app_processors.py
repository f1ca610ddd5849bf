"""The settings of an application that name processors -> the processors, and what a queue needs of them.

| setting             | meaning                                             | example              |
|---------------------|-----------------------------------------------------|----------------------|
| `redact`            | fields that `Redact` takes away                     | `card, *.password`   |
| `hash`              | fields that `Hash` makes pseudonyms of              | `email, user.phone`  |
| `hash_key_variable` | the environment variable that holds its key         | `PII_KEY`            |
| `hash_key_file`     | or the file that does                               | `/etc/shop/pii.key`  |
| `sample`            | shares of events that pass, by name                 | `page.*: 0.1`        |
| `sample_by`         | `request` (the default), `user`, `event`, or a path | `data.tenant`        |
| `rate_limit`        | events a second that pass, by name                  | `search.*: 50`       |

`redact` and `hash` apply to events that are put on the queue directly as well.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eventpub.errors import ConfigError
from eventpub.settings import ini
from eventpub.settings.patterns import numbers_by_pattern, patterns
from eventpub.tracking import Hash, RateLimit, Redact, Sample, snapshot
from eventpub.tracking.errors import FilterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    Processor = Callable[[Any], Any]

_is_guarded: ContextVar[bool] = ContextVar("eventpub is guarded", default=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessorSettings:
    """The settings above."""

    redact: tuple[str, ...] = ini.setting("redact", patterns(), default=())
    hash: tuple[str, ...] = ini.setting("hash", patterns(), default=())
    hash_key_variable: str | None = ini.setting(
        "hash_key_variable", ini.text("the name of a variable"), default=None
    )
    hash_key_file: Path | None = ini.setting("hash_key_file", ini.path(), default=None)
    sample: Mapping[str, float] | None = ini.setting("sample", numbers_by_pattern(), default=None)
    sample_by: str = ini.setting("sample_by", ini.text("request, user, event or a path"), default="request")
    rate_limit: Mapping[str, float] | None = ini.setting("rate_limit", numbers_by_pattern(), default=None)

    def make_limits(self, place: str) -> list[Processor]:
        """Return the processors that let a part of the events pass; they come first.

        Raises:
            ConfigError: a share or a limit makes no sense.
        """
        limits: list[Processor] = []
        with _naming(place, "sample"):
            limits += [Sample(self.sample, by=self.sample_by)] if self.sample else []
        with _naming(place, "rate_limit"):
            return limits + [RateLimit(name, per_second=most) for name, most in (self.rate_limit or {}).items()]

    def make_guards(self, place: str) -> list[Processor]:
        """Return the processors that keep personal data out; they come last.

        Raises:
            ConfigError: a pattern is invalid, or the key is missing.
        """
        guards: list[Processor] = []
        with _naming(place, "redact"):
            guards += [Redact(*self.redact)] if self.redact else []
        with _naming(place, "hash"):
            place_of_key = {"key_variable": self.hash_key_variable, "key_file": self.hash_key_file}
            return guards + ([Hash(*self.hash, **place_of_key)] if self.hash else [])  # type: ignore[arg-type]


@contextmanager
def _naming(place: str, key: str) -> Iterator[None]:
    """Have what a processor refuses told as a setting's error."""
    try:
        yield
    except FilterError as error:
        key = f"hash_{error.argument}" if error.argument in ("key_variable", "key_file") else key
        raise ConfigError(place, key, error.given, error.reason) from None


def guard_serializer(serialize: Callable[[Any], bytes], guards: list[Processor]) -> Callable[[Any], bytes]:
    """Return a serializer that lets the guards at an event first, unless a tracker has done so."""

    def serialize_guarded(event: Any) -> bytes:
        if not _is_guarded.get():
            event = snapshot(event)
            for guard in guards:
                event = guard(event)
        return serialize(event)

    return serialize_guarded if guards else serialize


def send_guarded(send: Callable[[Any], object], event: Any) -> None:
    """Send an event that guards have seen already."""
    token = _is_guarded.set(True)
    try:
        send(event)
    finally:
        _is_guarded.reset(token)
