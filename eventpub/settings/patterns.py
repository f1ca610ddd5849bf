"""Kinds of settings that list patterns, alone or each with a number."""

from __future__ import annotations

from .ini import Kind


def patterns() -> Kind[tuple[str, ...]]:
    """Patterns with commas between them: `card, *.password`."""

    def parse(value: str) -> tuple[str, ...]:
        found = tuple(part.strip() for part in value.split(","))
        if not all(found):
            raise ValueError
        return found

    return Kind(parse, "patterns with commas between them, such as card, *.password")


def numbers_by_pattern() -> Kind[dict[str, float]]:
    """Patterns with commas between them, and each with a number: `page.*: 0.1, search.*: 0.5`."""

    def parse(value: str) -> dict[str, float]:
        pairs = [part.rpartition(":") for part in value.split(",")]
        found = {name.strip(): float(number) for name, _, number in pairs}
        if not all(found):
            raise ValueError
        return found

    return Kind(parse, "patterns with a number each, such as page.*: 0.1, search.*: 0.5")
