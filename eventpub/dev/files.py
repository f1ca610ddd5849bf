"""What the programs of `eventpub dev` are configured by, in a folder of its own."""

from __future__ import annotations

import base64
import secrets
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PORT = 8080
PAGE_PORT = 8081

_COLLECTOR = """\
[collector]
listen = 127.0.0.1:{port}
page.listen = 127.0.0.1:{page_port}
store = sqlite:{folder}/events.sqlite
# an fsync for each batch is of no use here
store.synchronous = normal

[keys]
dev = {secret}
"""
_SCHEMA = """
[schemas]
dev = {schema}
"""
_SIDECAR = """\
[event-publisher:{queue}]
collector.hostname = {address}
collector.scheme = http
collector.version = {version}
key.name = dev
key.secret = {secret}
spool.dir = {folder}/spool
spool.max_size = 64 MiB
# events are to be seen at once
batch.max_age = 100 ms
retry.max = 2 s
"""


def choose_port(wanted: int) -> int:
    """Return a port of the loopback: the wanted one if it is free, else 0, which takes a free one."""
    try:
        with socket.create_server(("127.0.0.1", wanted)):
            return wanted
    except OSError:
        return 0


def make_secret() -> str:
    """Return a secret for both ends, in base64."""
    return base64.b64encode(secrets.token_bytes(32)).decode()


def write_collector(folder: Path, secret: str, *, ports: tuple[int, int], schema: str | None) -> Path:
    """Write the collector's configuration.

    Args:
        folder: where; it is made if it is not there.
        secret: of the key `dev`.
        ports: of the collector and of its page.
        schema: what version 2 events are; None for eventpub's own.
    """
    text = _COLLECTOR.format(port=ports[0], page_port=ports[1], folder=folder, secret=secret)
    return _write(folder / "collector.ini", text + (_SCHEMA.format(schema=schema) if schema else ""))


def write_sidecar(folder: Path, secret: str, queue: str, version: str, address: str) -> Path:
    """Write the sidecar's configuration.

    Args:
        folder: where.
        secret: of the key `dev`.
        queue: the queue's name.
        version: of the wire.
        address: host and port of the collector.
    """
    text = _SIDECAR.format(queue=queue, address=address, version=version, secret=secret, folder=folder)
    return _write(folder / "sidecar.ini", text)


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch()
    path.chmod(0o600)
    path.write_text(text, encoding="utf-8")
    return path
