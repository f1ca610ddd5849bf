"""Which sidecar of a configuration file a command line means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventpub.cli.arguments import DEFAULT_QUEUE
from eventpub.cli.errors import UsageError
from eventpub.settings import ini

from .config import SECTION_PREFIX

if TYPE_CHECKING:
    import os


def list_sidecars(file: str | os.PathLike[str]) -> list[str]:
    """Return the queues of the sidecars that a file configures.

    Raises:
        ConfigError: it cannot be read.
    """
    sections = ini.load_file(file).sections()
    return [name.removeprefix(SECTION_PREFIX) for name in sections if name.startswith(SECTION_PREFIX)]


def choose_queue(file: str | os.PathLike[str], name: str | None) -> str:
    """Return the queue that a command line means: the one it names, the file's only one, or the default.

    Raises:
        UsageError: the file has several, and none of them is the default.
        ConfigError: it cannot be read.
    """
    if name is not None:
        return name
    names = list_sidecars(file)
    if len(names) > 1 and DEFAULT_QUEUE not in names:
        raise UsageError(f"{file} has several sidecars ({', '.join(names)}); choose one with --queue-name NAME")
    return names[0] if len(names) == 1 else DEFAULT_QUEUE
