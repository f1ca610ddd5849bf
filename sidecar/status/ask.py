"""The other end of a sidecar's socket: finds the sockets of a spool or of this host, and asks one.

`ask_slot` always comes back with an `Asked` within its deadline, and tells a sidecar that runs from one that
hangs, and that from a slot which nobody holds. `connect_slot` is for routes that need more, such as a
stream of lines.
"""

from __future__ import annotations

import contextlib
import enum
import http.client
import re
import socket
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from eventpub.process.sockets import connect_to_path
from eventpub.sidecar.spool.slot import find_owner, is_owned

from .answering import SUFFIX, socket_path
from .errors import StatusError
from .record import StatusRecord

ASK_SECONDS = 3.0  # a sidecar answers within milliseconds, or half a second when it looks at a slow disk
_MAX_ANSWER_BYTES = 16 * 1024 * 1024
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: struct ucred
_REMEDY = "run this as the sidecar's user, or as root"
_STATES = {"T": "stopped by a signal (SIGSTOP, or a debugger)", "t": "stopped by a debugger", "Z": "a zombie"}


class Condition(enum.Enum):
    """How the sidecar of a slot is."""

    RUNNING = "running"  # it answers
    HUNG = "hung"  # it holds the slot, and does not answer, or its process is stopped
    SILENT = "silent"  # it holds the slot and has no socket: it is starting, or of an older version
    DENIED = "denied"  # this user may not look
    DEAD = "dead"  # nobody holds the slot


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of asking the sidecar of a slot.

    Attributes:
        slot: the slot's folder.
        condition: how the sidecar is.
        record: what it says of itself, if it does.
        words: why there is no record; empty where there is one.
        pid: of its process, in this namespace; None where that is not visible.
    """

    slot: Path
    condition: Condition
    record: StatusRecord | None = None
    words: str = ""
    pid: int | None = None


def find_slots(spool: Path, queue_name: str | None = None) -> list[Path]:
    """Return the folders of the slots of a spool, by queue and number, whether anybody holds them or not.

    Args:
        spool: `spool.dir`.
        queue_name: of one queue only.

    Raises:
        OSError: the spool is not there, or this user may not look.
    """
    queues = [path for path in spool.iterdir() if path.is_dir() and queue_name in (None, path.name)]
    slots = [path for queue in queues for path in queue.iterdir() if path.name.isdecimal() and path.is_dir()]
    return sorted(slots, key=lambda path: (path.parent.name, int(path.name)))


def find_spools() -> list[Path]:
    """Return the spools of the sidecars that run on this host, as far as the kernel shows their sockets."""
    return sorted({slot.parent.parent for slot in find_running()})


def find_running() -> list[Path]:
    """Return the slots of the sidecars that run on this host, also of those that this user may not ask."""
    name = re.compile(rf" (/\S.*/[^/]+/\d+){re.escape(SUFFIX)}$")
    with contextlib.suppress(OSError):
        lines = Path("/proc/net/unix").read_text(errors="surrogateescape").splitlines()
        return sorted({Path(match[1]) for line in lines if (match := name.search(line))})
    return []


def ask_slot(slot: Path, *, seconds: float = ASK_SECONDS) -> Asked:
    """Ask the sidecar of a slot for its status.

    Args:
        slot: the slot's folder.
        seconds: how long it may take to answer.
    """
    pid = None
    try:
        with contextlib.closing(connect_slot(slot, seconds)) as connection:
            pid = _read_peer(connection.sock)
            if (state := _read_state(pid)) in _STATES:  # it would answer nothing until the deadline
                return Asked(slot, Condition.HUNG, words=f"its process is {_STATES[state]}", pid=pid)
            connection.request("GET", "/status")
            document = _read_answer(connection.getresponse(), time.monotonic() + seconds)
        return Asked(slot, Condition.RUNNING, StatusRecord.from_json(document), pid=pid)
    except StatusError as error:
        return Asked(slot, Condition.RUNNING, words=str(error), pid=pid)
    except (OSError, http.client.HTTPException) as error:
        return _explain_silence(slot, error, seconds)


def connect_slot(slot: Path, seconds: float = ASK_SECONDS) -> http.client.HTTPConnection:
    """Return a connection to the sidecar of a slot; each of its operations waits for at most `seconds`.

    Raises:
        OSError: nobody listens, or this user may not ask.
    """
    connection = http.client.HTTPConnection("sidecar", timeout=seconds)
    connection.sock = connect_to_path(socket_path(slot), seconds)
    return connection


def _read_answer(response: http.client.HTTPResponse, deadline: float) -> bytes:
    """Read an answer to its end, which comes before the deadline and within bounds, or not at all."""
    pieces, size_bytes = [], 0
    while piece := response.read1(64 * 1024):
        pieces.append(piece)
        size_bytes += len(piece)
        if time.monotonic() > deadline or size_bytes > _MAX_ANSWER_BYTES:
            raise TimeoutError("its answer has no end")
    if response.status != http.client.OK:
        raise StatusError(f"it answers with status {response.status}: see its log")
    return b"".join(pieces)


def _explain_silence(slot: Path, error: Exception, seconds: float) -> Asked:
    try:
        if not is_owned(slot):
            return Asked(slot, Condition.DEAD, words="no sidecar holds this slot")
        pid = find_owner(slot)
    except PermissionError:
        return Asked(slot, Condition.DENIED, words=f"this user may not look: {_REMEDY}")
    except OSError as failure:
        return Asked(slot, Condition.DENIED, words=f"the slot cannot be looked at: {failure.strerror}")
    state = _read_state(pid)
    if isinstance(error, PermissionError):
        condition, words = Condition.DENIED, f"this user may not ask: {_REMEDY}"
    elif state in _STATES:
        condition, words = Condition.HUNG, f"its process is {_STATES[state]}"
    elif isinstance(error, FileNotFoundError | ConnectionRefusedError):
        words = "it has no socket: it is starting or stopping, or of a version that has none"
        condition = Condition.SILENT
    else:
        waits = ", and waits for a disk or a device" if state == "D" else ""
        condition, words = Condition.HUNG, f"it has not answered for {seconds:g} s{waits}: {error}"
    return Asked(slot, condition, words=words, pid=pid)


def _read_peer(connected: socket.socket) -> int | None:
    """Return the id of the process that listens; None where it is in another namespace."""
    credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return _CREDENTIALS.unpack(credentials)[0] or None


def _read_state(pid: int | None) -> str:
    """Return the state of a process as the kernel has it, such as S, D or T; empty where it is not visible."""
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""
