"""What the sidecars of a queue pass on, merged: one thread a sidecar reads its `/tap`.

The threads read as fast as a sidecar writes, whatever our reader does, so that no sidecar keeps much for us;
what we cannot keep either is counted. Once a sidecar has ended, the next one in its slot is followed.
"""

from __future__ import annotations

import http.client
import queue
import threading
from typing import TYPE_CHECKING, NamedTuple

from eventpub.sidecar.status import frames
from eventpub.sidecar.status.ask import Condition, ask_slot, connect_slot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

_MAX_WAITING = 2_000  # events; each may be 100 KB
_SILENCE_SECONDS = 3 * frames.ALIVE_SECONDS
_OK = 200


class Passed(NamedTuple):
    """One thing to show.

    Attributes:
        slot: the folder of the sidecar's slot.
        event: an event that passed; None if there is something else to tell.
        version: of the wire, under which it was received; empty if not known.
        lost: how many events passed before it and cannot be shown.
        words: what else there is to tell, such as that the sidecar has ended.
    """

    slot: Path
    event: bytes | None = None
    version: str = ""
    lost: int = 0
    words: str = ""


class Followers:
    """The sidecars of a queue.

    Args:
        find: returns the folders of their slots.
    """

    def __init__(self, find: Callable[[], Iterable[Path]]) -> None:
        self._find = find
        self._passed: queue.Queue[Passed] = queue.Queue(_MAX_WAITING)
        self._lock = threading.Lock()
        self._lost: dict[Path, int] = {}
        self._followed: set[Path] = set()

    def look(self) -> list[str]:
        """Follow the sidecars that are not followed yet; return why some cannot be."""
        complaints = []
        for slot in self._find():
            with self._lock:
                if slot in self._followed:
                    continue
            try:
                response = _open_tap(slot)
            except (OSError, http.client.HTTPException) as error:
                asked = ask_slot(slot)
                if asked.condition is not Condition.DEAD:
                    complaints.append(f"{slot}: {asked.words or error}")
                continue
            with self._lock:
                self._followed.add(slot)
            threading.Thread(target=self._follow, args=(slot, response), daemon=True).start()
        return complaints

    def is_following(self) -> bool:
        """Tell whether any sidecar is read."""
        with self._lock:
            return bool(self._followed)

    def take(self, seconds: float) -> Passed | None:
        """Return the next thing to show; None if nothing comes in that time."""
        try:
            return self._passed.get(timeout=seconds) if seconds else self._passed.get_nowait()
        except queue.Empty:
            with self._lock:
                slot, lost = self._lost.popitem() if self._lost else (None, 0)
            return Passed(slot, lost=lost) if slot else None

    def _follow(self, slot: Path, response: http.client.HTTPResponse) -> None:
        reader, version = frames.FrameReader(), ""
        try:
            while piece := response.read1(256 * 1024):
                for kind, content in reader.read(piece):
                    if kind == frames.EVENT:
                        self._put(Passed(slot, content, version))
                    elif kind == frames.VERSION:
                        version = content.decode(errors="replace")
                    elif kind == frames.LOST:
                        self._lose(slot, int(content))
        except (OSError, ValueError, http.client.HTTPException):
            pass  # it ended, or was killed, or hangs
        finally:
            response.close()
            self._put(Passed(slot, words="this sidecar has ended, or hangs; waiting for it"))
            with self._lock:
                self._followed.discard(slot)

    def _put(self, passed: Passed) -> None:
        with self._lock:
            lost = self._lost.pop(passed.slot, 0)
        try:
            self._passed.put_nowait(passed._replace(lost=lost))
        except queue.Full:
            self._lose(passed.slot, lost + (passed.event is not None))

    def _lose(self, slot: Path, events: int) -> None:
        with self._lock:
            self._lost[slot] = self._lost.get(slot, 0) + events


def _open_tap(slot: Path) -> http.client.HTTPResponse:
    """Return the stream of a sidecar that answers.

    Raises:
        OSError: nobody listens, or this user may not ask.
        HTTPException: the sidecar does not let us; the message says why.
    """
    connection = connect_slot(slot)
    stream = connection.sock
    try:
        connection.request("GET", "/tap")
        response = connection.getresponse()
        stream.settimeout(_SILENCE_SECONDS)  # one that runs answers soon; what it streams may pause for longer
    except BaseException:
        connection.close()
        raise
    if response.status != _OK:
        words = response.read(1000).decode(errors="replace").strip()
        response.close()
        raise http.client.HTTPException(words)
    return response
