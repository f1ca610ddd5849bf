"""Numbers, sizes, durations and documents as the commands write them."""

from __future__ import annotations

import json

_DURATIONS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_SIZES = ((1024**4, "TiB"), (1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB"))


def count_noun(number: int, noun: str, plural: str = "") -> str:
    """Return `1 event`, or `2,000 events`; the plural is the noun with an s by default."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def format_duration(seconds: float) -> str:
    """Return a duration in the largest unit of which there are two, such as `90 s` or `3 h`."""
    size, unit = next((pair for pair in _DURATIONS if seconds >= 2 * pair[0]), _DURATIONS[-1])
    return f"{seconds / size:.0f} {unit}"


def format_size(size_bytes: float) -> str:
    """Return a number of bytes in the largest unit it fills, such as `512 bytes` or `1.5 MiB`."""
    for unit_bytes, unit in _SIZES:
        if size_bytes >= unit_bytes:
            return f"{size_bytes / unit_bytes:.3g} {unit}"
    return count_noun(int(size_bytes), "byte")


def format_json(document: object, *, indent: int | None = 2) -> str:
    """Return a document as JSON without characters that control a terminal."""
    text = json.dumps(document, ensure_ascii=False, indent=indent)
    return text if text.replace("\n", "").isprintable() else json.dumps(document, indent=indent)
