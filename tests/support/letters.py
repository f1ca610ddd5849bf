"""Dead letters on disk, and a collector that they can be sent to."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from support.collector_process import CollectorProcess
from support.commands import QUEUE, SpoolFolder

OLD, NEW = b"old secret", b"new secret"

BATCH = "0123456789abcdef" * 2
OTHER = "fedcba9876543210" * 2


def write_config(path: Path, spool: SpoolFolder, hostname: str, **keys: str) -> Path:
    lines = {
        "collector.hostname": hostname,
        "collector.scheme": "http",
        "collector.version": "2j",
        "key.name": "test",
        "key.secret": base64.b64encode(NEW).decode(),
        "spool.dir": str(spool.directory),
    } | {name.replace("_", ".", 1): value for name, value in keys.items()}
    text = "".join(f"{key} = {value}\n" for key, value in lines.items())
    path.write_text(f"[event-publisher:{QUEUE}]\n{text}")
    return path


def fill(spool: SpoolFolder, count: int, batch_id: str = BATCH) -> list[dict[str, int]]:
    """Bury events and return them."""
    for index in range(count):
        spool.letter(b'{"n":%d}' % index, batch_id=batch_id, index=index)
    return [{"n": index} for index in range(count)]


def stored(collector: CollectorProcess) -> list[Any]:
    return sorted((row["event"] for row in collector.events()), key=str)


def place(config: Path) -> tuple[object, ...]:
    return ("--queue-name", QUEUE, config)
