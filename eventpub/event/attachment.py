"""A file that goes along with an event: what it may be called, and what it held when it was attached."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from eventpub.errors import AttachmentError

_MAX_NAME_BYTES = 200  # file systems take 255, and some receivers add to it
_CHUNK_BYTES = 256 * 1024


def is_plain_name(name: str) -> bool:
    """Tell whether `name` is the name of a file in a folder, and leads nowhere else."""
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
    """Return the SHA-1 of the content of the file that is to be attached as `name`.

    Raises:
        AttachmentError: the name is no plain file name, or the file cannot be read.
    """
    if not is_plain_name(name):
        raise AttachmentError(name, path, "its name is no plain file name; give one without slashes")
    digest = hashlib.sha1(usedforsecurity=False)
    try:
        file = Path(path)
        if file.exists() and not file.is_file():  # to open a pipe would wait for its other end
            raise AttachmentError(name, path, "it is no regular file")
        with file.open("rb") as content:
            while chunk := content.read(_CHUNK_BYTES):
                digest.update(chunk)
    except (OSError, ValueError) as error:  # ValueError: a NUL in its path
        raise AttachmentError(name, path, getattr(error, "strerror", None) or str(error)) from error
    return digest.hexdigest()
