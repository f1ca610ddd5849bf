"""Whether the spool's folder can be used, and what its disk is good for."""

from __future__ import annotations

import contextlib
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from eventpub.cli.findings import Finding, Level
from eventpub.cli.wording import count_noun, format_size
from eventpub.errors import ConfigError
from eventpub.process.descriptors import name_remedy
from eventpub.sidecar.config import SECTION_PREFIX
from eventpub.sidecar.host import check_host, default_spool_dir
from eventpub.sidecar.spool.batch import SEALED_SUFFIX
from eventpub.sidecar.spool.errors import REPAIR
from eventpub.sidecar.spool.folder import DAMAGED, DEAD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventpub.sidecar.config import SidecarConfig

_VOLATILE = frozenset({"tmpfs", "ramfs"})
_REMOTE = frozenset({"nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p", "ceph"})
_FULL, _FILLING = 0.98, 0.7  # of spool.max_size; the second is what docs/operating.md alerts at
_FEW_FILES = 1000  # free inodes; a batch is a file
_SLOW_SYNC_SECONDS = 0.1  # a batch is sealed once a second or more often
_SYNC_BYTES, _SYNCS = 64 * 1024, 5


def check_spool(config: SidecarConfig, queue_name: str, *, words: str) -> Iterator[Finding]:
    """Try the folder and its disk; `words` are the arguments of commands that look into this spool."""
    try:
        check_host(config, SECTION_PREFIX + queue_name)
    except ConfigError as error:
        yield Finding(Level.FAILING, str(error))
        return
    spool = config.spool_dir or default_spool_dir()
    nearest = next(folder for folder in (spool, *spool.absolute().parents) if folder.exists())
    yield from _check_file_system(spool, nearest)
    yield from _check_sync(config, spool, nearest)
    queue = spool / queue_name
    for slot in sorted(path for path in queue.glob("[0-9]*") if path.is_dir()):
        yield from _check_slot(config, slot, words)
    yield from _check_space(config, spool, nearest, sum(_measure_files(queue, f"[0-9]*/*{SEALED_SUFFIX}")))
    letters = _measure_files(queue / DEAD, "*.json")
    if letters:
        text = f"{queue_name}: {count_noun(len(letters), 'dead letter')}, {format_size(sum(letters))} of "
        text += format_size(config.dead_letters_max_size_bytes)
        yield Finding(Level.WARNING, text, f"see: eventpub dead-letters list {words}")
    if copies := _measure_files(queue / DAMAGED, "*"):
        text = f"{queue_name}: {count_noun(len(copies), 'copy', 'copies')} of damaged files"
        remedy = f"to read them: eventpub spool export --damaged {words}; remove them afterwards"
        yield Finding(Level.WARNING, text, remedy)


def _check_file_system(spool: Path, nearest: Path) -> Iterator[Finding]:
    kind = _find_file_system(nearest)
    text = f"spool {spool}: {'there' if spool == nearest else 'will be made'}, on {kind}"
    if kind in _VOLATILE:
        remedy = "name a folder on a disk in spool.dir"
        yield Finding(Level.WARNING, f"{text}: what is on it does not survive a reboot", remedy)
    elif kind in _REMOTE:
        remedy = "name a folder on a local disk in spool.dir"
        yield Finding(Level.WARNING, f"{text}: a network that fails keeps the sidecar from receiving", remedy)
    else:
        yield Finding(Level.OK, text)


def _check_sync(config: SidecarConfig, spool: Path, nearest: Path) -> Iterator[Finding]:
    if config.spool_fsync == "never":
        yield Finding(Level.OK, f"spool {spool}: spool.fsync = never, so a power cut may lose whole batches")
        return
    try:
        seconds = _time_sync(nearest)
    except OSError as error:
        yield Finding(Level.FAILING, f"spool {spool}: {error.strerror}", name_remedy(error, REPAIR))
        return
    text = f"spool {spool}: sealing a batch takes its disk {seconds * 1000:.1f} ms"
    if seconds > _SLOW_SYNC_SECONDS:
        remedy = "name a folder on a faster disk in spool.dir, or set spool.fsync = never"
        yield Finding(Level.WARNING, f"{text}, and receiving waits for it", remedy)
    else:
        yield Finding(Level.OK, text)


def _check_slot(config: SidecarConfig, slot: Path, words: str) -> Iterator[Finding]:
    used_bytes, limit_bytes = sum(_measure_files(slot, f"*{SEALED_SUFFIX}")), config.spool_max_size_bytes
    text = f"slot {slot.name} of {slot.parent.name}: {format_size(used_bytes)} of {format_size(limit_bytes)}"
    if used_bytes > _FULL * limit_bytes:
        remedy = f"see what keeps events from being delivered: eventpub status {words}; or raise spool.max_size"
        yield Finding(Level.FAILING, f"{text}: it is full, so the sidecar takes no messages", remedy)
    elif used_bytes > _FILLING * limit_bytes:
        yield Finding(Level.WARNING, f"{text}: it fills", f"see: eventpub status {words}")
    else:
        yield Finding(Level.OK, text)


def _check_space(config: SidecarConfig, spool: Path, nearest: Path, used_bytes: int) -> Iterator[Finding]:
    status = os.statvfs(nearest)
    free_bytes = status.f_bavail * status.f_frsize
    wanted_bytes = max(0, config.spool_max_size_bytes - used_bytes)
    text = f"spool {spool}: {format_size(free_bytes)} are free on its disk"
    if free_bytes < 2 * config.batch_max_size_bytes:
        yield Finding(Level.FAILING, f"{text}, not enough for two batches", "free some")
    elif free_bytes < wanted_bytes:
        yield Finding(
            Level.WARNING,
            f"{text}, and spool.max_size allows {format_size(wanted_bytes)} more",
            f"free some, or set spool.max_size = {int((free_bytes + used_bytes) * 0.8) // 1024**2} MiB",
        )
    else:
        yield Finding(Level.OK, text)
    if status.f_files and status.f_favail < _FEW_FILES:
        level = Level.WARNING if status.f_favail else Level.FAILING
        remedy = "remove files there: each batch is one"
        yield Finding(level, f"spool {spool}: its file system has room for {status.f_favail:,} files", remedy)


def _time_sync(folder: Path) -> float:
    """Return how long it takes until what was written is on the disk, in seconds, as for a small batch."""
    seconds = []
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        for _ in range(_SYNCS):
            file.write(bytes(_SYNC_BYTES))
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def _find_file_system(folder: Path) -> str:
    """Return the kind of the file system that a folder is on."""
    found, kind = -1, "an unknown file system"
    for line in Path("/proc/self/mountinfo").read_text(errors="replace").splitlines():
        left, _, right = line.partition(" - ")
        mounted = left.split(" ")[4].replace("\\040", " ")
        if folder.resolve().is_relative_to(mounted) and len(mounted) >= found:  # the last one hides the others
            found, kind = len(mounted), right.split(" ")[0]
    return kind


def _measure_files(folder: Path, pattern: str) -> list[int]:
    sizes = []
    for path in folder.glob(pattern):
        with contextlib.suppress(OSError):  # delivered, dropped or sent again meanwhile
            if path.is_file():
                sizes.append(path.stat().st_size)
    return sizes
