"""A file attached to an event: which names it may have, and the digest of its content."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from eventpub.errors import AttachmentError

_MAX_NAME_BYTES = 200  # file systems take 255, and some receivers add to it
_CHUNK_BYTES = 256 * 1024


def is_plain_name(name: str) -> bool:
    """Return whether `name` is a plain file name: not empty, not hidden, without a path."""
    try:
        size_bytes = len(os.fsencode(name))
    except UnicodeEncodeError:
        return False
    return (
        0 < size_bytes <= _MAX_NAME_BYTES
        and name not in (".", "..")
        and name.isprintable()
        and not set("/\\") & set(name)
    )


def digest_of(name: str, path: str) -> str:
    """Return the SHA-1 of the file that will be attached as `name`.

    Raises:
        AttachmentError: the name is not a plain file name, or the file cannot be read.
    """
    if not is_plain_name(name):
        raise AttachmentError(name, path, "its name is not a plain file name; give one without slashes")
    digest = hashlib.sha1(usedforsecurity=False)
    try:
        file = Path(path)
        if file.exists() and not file.is_file():  # opening a pipe would wait for its other end
            raise AttachmentError(name, path, "it is not a regular file")
        with file.open("rb") as content:
            while chunk := content.read(_CHUNK_BYTES):
                digest.update(chunk)
    except (OSError, ValueError) as error:  # ValueError: a NUL in its path
        raise AttachmentError(name, path, getattr(error, "strerror", None) or str(error)) from error
    return digest.hexdigest()
