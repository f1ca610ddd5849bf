"""Which sidecar of a configuration file a command line means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventpub.cli.arguments import DEFAULT_QUEUE
from eventpub.cli.errors import UsageError
from eventpub.errors import ConfigError
from eventpub.settings import ini

from .config import SECTION_PREFIX

if TYPE_CHECKING:
    import os

COLLECTOR_SECTION = "collector"  # of the file that `eventpub collector` reads


def list_sidecars(file: str | os.PathLike[str]) -> list[str]:
    """Return the queues of the sidecars that a file configures.

    Raises:
        ConfigError: it cannot be read.
    """
    return _list_names(ini.load_file(file).sections())


def choose_queue(file: str | os.PathLike[str], name: str | None) -> str:
    """Return the queue that a command line means: the one it names, the file's only one, or the default.

    Raises:
        UsageError: the file has several, and none of them is the default.
        ConfigError: it cannot be read, or is a collector's.
    """
    names = choose_queues(file, name)
    if len(names) > 1 and DEFAULT_QUEUE not in names:
        raise UsageError(f"{file} has several sidecars ({', '.join(names)}); choose one with --queue-name NAME")
    return names[0] if len(names) == 1 else DEFAULT_QUEUE


def choose_queues(file: str | os.PathLike[str], name: str | None) -> list[str]:
    """Return the queues that a command line means which may be about several: the one it names, or the file's.

    Raises:
        ConfigError: it cannot be read, or is a collector's.
    """
    if name is not None:
        return [name]
    sections = ini.load_file(file).sections()
    if not (names := _list_names(sections)) and COLLECTOR_SECTION in sections:
        reason = f"{file} is a collector's file; a sidecar's has a section [{SECTION_PREFIX}NAME]"
        raise ConfigError(COLLECTOR_SECTION, "", "", reason)
    return names or [DEFAULT_QUEUE]


def _list_names(sections: list[str]) -> list[str]:
    return [name.removeprefix(SECTION_PREFIX) for name in sections if name.startswith(SECTION_PREFIX)]
