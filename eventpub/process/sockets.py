"""Sockets to listen on and to ask: TCP, and unix sockets at paths of any length.

A path in a socket's address has room for 107 bytes. A longer one is named by way of a descriptor of its folder,
`/proc/self/fd/N/NAME`, for as long as the call takes.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ListenError

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_PATH_BYTES = 107  # of sun_path, without the zero at its end
_BACKLOG = 64
_PROBE_SECONDS = 1.0  # for finding out whether a socket file has a listener


def listen_at(address: tuple[str, int] | str) -> socket.socket:
    """Return a socket that listens on (host, port) or at the path of a unix socket.

    Raises:
        ListenError: the address is taken, or not this host's.
    """
    if isinstance(address, str):
        return listen_at_path(Path(address))
    host, port = address
    words = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        opened = socket.socket(family, kind, protocol)
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind(where)
            opened.listen(_BACKLOG)
        except BaseException:
            opened.close()
            raise
    except OSError as error:
        raise ListenError(words, f"{error.strerror or error}; choose another address") from error
    return opened


def listen_at_path(path: Path, *, is_ours: bool = False) -> socket.socket:
    """Return a unix socket that listens at a path, for this user only.

    Args:
        path: where; a socket that nobody listens on any more is replaced.
        is_ours: whether the caller knows that no other process can be listening there.

    Raises:
        ListenError: another process listens there, it is no socket, or the folder does not let us.
    """
    try:
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISSOCK(path.lstat().st_mode):
                raise ListenError(str(path), "something else has that name; move it, or choose another")
            if not is_ours and _is_listening(path):
                raise ListenError(str(path), "another process listens there; choose another path")
            path.unlink()
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with short_name(path) as name:
                opened.bind(name)
            path.chmod(0o600)
            opened.listen(_BACKLOG)
        except BaseException:
            opened.close()
            raise
    except OSError as error:
        raise ListenError(str(path), f"{error.strerror or error}; see its folder") from error
    return opened


def connect_to_path(path: Path, seconds: float) -> socket.socket:
    """Return a connection to a unix socket, whose operations wait for at most `seconds`.

    Raises:
        OSError: ConnectionRefusedError if nobody listens, BlockingIOError if too many wait already.
    """
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    opened.settimeout(seconds)
    try:
        with short_name(path) as name:
            opened.connect(name)
    except BaseException:
        opened.close()
        raise
    return opened


@contextlib.contextmanager
def short_name(path: Path) -> Iterator[str]:
    """Lend a name of a path that fits into a socket's address."""
    if len(os.fsencode(path)) <= _MAX_PATH_BYTES:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _is_listening(path: Path) -> bool:
    try:
        connect_to_path(path, _PROBE_SECONDS).close()
    except (ConnectionRefusedError, FileNotFoundError):
        return False
    except OSError:  # such as one that has more connections waiting than it may
        return True
    return True
