"""All that there is to see of this host's queues and sidecars: what `eventpub status` shows.

A sidecar is asked by its socket. Where it does not answer, what it has left on disk is read instead.
"""

from __future__ import annotations

import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from eventpub.cli import host
from eventpub.queue import access, holders
from eventpub.sidecar.config import load_config
from eventpub.sidecar.host import SYSTEM_SPOOL_DIR, default_spool_dir
from eventpub.sidecar.queue_choice import choose_queues
from eventpub.sidecar.spool.folder import DEAD
from eventpub.sidecar.status.ask import Asked, Condition, ask_slot, find_running, find_slots, find_spools

from . import pending
from .guard import explain_denied
from .queue_sight import QueueSight, look_at_queue

if TYPE_CHECKING:
    from collections.abc import Iterable


_ASKED_AT_ONCE = 16  # sidecars that hang take their whole time to be asked


@dataclass(frozen=True, slots=True)
class SlotSight:
    """A slot: what its sidecar says, and what is on disk where it says nothing."""

    asked: Asked
    backlog: pending.SlotBacklog | None = None

    @property
    def number(self) -> str:
        """Its name."""
        return self.asked.slot.name


@dataclass(frozen=True, slots=True)
class Service:
    """A queue, and all that serves it.

    Attributes:
        queue: in the kernel.
        spool: its folder in `spool.dir`; None where no spool has one.
        slots: of that folder.
        dead_letters: how many there are; None where this user may not look.
        config_file: the configuration file that was given and names it; None without one.
        is_wanted: whether it was asked for, by its name or by the file.
        error: why its folder cannot be looked at; empty where it can.
    """

    queue: QueueSight
    spool: Path | None = None
    slots: tuple[SlotSight, ...] = ()
    dead_letters: int | None = 0
    config_file: str | None = None
    is_wanted: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True)
class Budget:
    """RLIMIT_MSGQUEUE of a user: what its queues take, of how much, and who holds them in words."""

    user: str
    taken_bytes: int
    limit_bytes: int | None
    held: str


@dataclass(frozen=True, slots=True)
class Overview:
    """The whole host, or as much of it as was asked for.

    `lists_queues` tells whether this host shows the names of queues that no process of this user has open.
    """

    taken_at: float
    services: tuple[Service, ...]
    budgets: tuple[Budget, ...]
    lists_queues: bool = True


def look_at_host(config_file: str | None, queue_name: str | None) -> Overview:
    """Look at the queues of a configuration file, or at all of this host.

    Args:
        config_file: whose sidecars are wanted; None for all queues, slots and sockets that can be found.
        queue_name: one queue only.

    Raises:
        ConfigError: the file cannot be used.
    """
    places = _find_configured(config_file, queue_name) if config_file else _find_all(queue_name)
    is_wanted = config_file is not None or queue_name is not None
    services = [
        replace(_look_at_service(name, folder, config_file), is_wanted=is_wanted) for name, folder in places
    ]
    budgets = tuple(_add_up_budgets(service.queue for service in services))
    return Overview(time.time(), tuple(services), budgets, lists_queues=host.mqueue_folder() is not None)


def _find_configured(config_file: str, queue_name: str | None) -> list[tuple[str, Path | None]]:
    found: list[tuple[str, Path | None]] = []
    for name in choose_queues(config_file, queue_name):
        config = load_config(config_file, name)
        found.append((name, (config.spool_dir or default_spool_dir()) / name))
    return found


def _find_all(queue_name: str | None) -> list[tuple[str, Path | None]]:
    """Return queues and their folders: of sidecars that run, of the usual spools, and of the kernel."""
    folder = host.mqueue_folder()
    names = {*(host.queue_names(folder) if folder else holders.find_names())}
    found: list[tuple[str, Path | None]] = []
    for spool in sorted({*find_spools(), SYSTEM_SPOOL_DIR, default_spool_dir()}):
        try:
            found += [(path.name, path) for path in sorted(spool.iterdir()) if path.is_dir()]
        except PermissionError:  # the kernel still tells who runs there
            running = (slot.parent for slot in find_running() if slot.parent.parent == spool)
            found += [(path.name, path) for path in dict.fromkeys(running)]
        except OSError:  # not there
            continue
    names |= {queue_name} if queue_name else set()
    found += [(name, None) for name in sorted(names - {name for name, _ in found})]
    return [
        (name, path) for name, path in sorted(found, key=lambda pair: pair[0]) if queue_name in (None, name)
    ]


def _look_at_service(name: str, folder: Path | None, config_file: str | None) -> Service:
    queue = look_at_queue(name)
    if folder is None:
        return Service(queue, config_file=config_file)
    try:
        slots = find_slots(folder.parent, name) if folder.parent.exists() else []
    except OSError as error:
        text = f"{folder.parent}: {error.strerror}"
        if isinstance(error, PermissionError):
            text = explain_denied(error)
        return Service(queue, folder, (), None, config_file, error=text)
    with ThreadPoolExecutor(_ASKED_AT_ONCE) as asking:
        seen = tuple(asking.map(_look_at_slot, slots))
    try:
        letters: int | None = sum(path.suffix == ".json" for path in (folder / DEAD).iterdir())
    except FileNotFoundError:
        letters = 0
    except OSError:
        letters = None
    return Service(queue, folder, seen, letters, config_file)


def _look_at_slot(slot: Path) -> SlotSight:
    asked = ask_slot(slot)
    if asked.record is not None or asked.condition is Condition.DENIED:
        return SlotSight(asked)
    try:
        return SlotSight(asked, pending.read_slot(slot))
    except OSError:
        return SlotSight(asked)


def _add_up_budgets(queues: Iterable[QueueSight]) -> list[Budget]:
    """Add up what each user's queues take of its RLIMIT_MSGQUEUE."""
    by_owner: dict[int, list[QueueSight]] = {}
    for queue in queues:
        if queue.owner_uid is not None:
            by_owner.setdefault(queue.owner_uid, []).append(queue)
    budgets = []
    for uid, owned in by_owner.items():
        limits = [
            limit
            for queue in owned
            for user in queue.open_in
            if user.uid == uid and (limit := holders.read_limit(user.pid)) is not None
        ]
        taken_bytes = sum({queue.name: queue.counted_bytes for queue in owned}.values())
        limit = max(limits, default=None)
        budgets.append(Budget(access.user_name(uid), taken_bytes, limit, holders.describe_owned(uid)))
    return budgets


def report_facts(overview: Overview) -> dict[str, object]:
    """Return an overview as `--json` has it."""
    return {item.name: _make_plain(getattr(overview, item.name)) for item in dataclasses.fields(overview)}


def _make_plain(value: object) -> object:
    """Return facts of dataclasses as `--json` has them: paths as text, conditions as words, pairs as lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: _make_plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, holders.Holder):
        return value._asdict()
    if isinstance(value, dict):
        return {key: _make_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_make_plain(item) for item in value]
    if isinstance(value, Condition):
        return value.value
    return str(value) if isinstance(value, Path) else value
