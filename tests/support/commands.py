"""The `eventpub` command run in this process, and spools for it to work on."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from eventpub.cli import main
from eventpub.sidecar.spool import dead_letters, records
from eventpub.sidecar.telemetry.reasons import DeadReason

QUEUE = "q"
EVENTS = [b'{"n":%d}' % n for n in range(5)]


class Done(NamedTuple):
    code: int
    out: str
    err: str


class Command:
    """`eventpub WORD…`, with what it wrote taken from the descriptors."""

    def __init__(self, captured: pytest.CaptureFixture[str]) -> None:
        self._captured = captured

    def __call__(self, *words: object) -> Done:
        self._captured.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as stop:
            code = int(stop.code or 0)
        return Done(code, *self._captured.readouterr())


class SpoolFolder:
    """A spool without a sidecar, made file by file."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.queue = directory / QUEUE
        for folder in (directory, self.queue, self.dead, self.damaged):
            folder.mkdir(mode=0o700)
        self.slot(0)

    @property
    def dead(self) -> Path:
        return self.queue / "dead"

    @property
    def damaged(self) -> Path:
        return self.queue / "damaged"

    def slot(self, number: int) -> Path:
        folder = self.queue / str(number)
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def batch(self, sequence: int, events: list[bytes], *, slot: int = 0, suffix: str = "") -> Path:
        """Write a batch file, sealed unless `suffix` is `.open`."""
        path = self.slot(slot) / f"{sequence:012d}{suffix or f'.{len(events)}.batch'}"
        path.write_bytes(records.write_records(records.new_header(), events))
        return path

    def letter(
        self,
        event: bytes,
        *,
        batch_id: str,
        index: int = 0,
        reason: str = "rejected",
        status: int | None = 422,
        detail: str = "n: bad",
        died_at: str | None = None,
        version: str | None = None,
    ) -> Path:
        """Write a dead letter, now or as of `died_at`."""
        data = dead_letters.write_letter(
            event,
            dead_letters.Cause(DeadReason(reason), status, detail),
            queue=QUEUE,
            batch_id=batch_id,
            index=index,
            attempts=1,
            version=version,
        )
        path = self.dead / dead_letters.letter_name(batch_id, index)
        if died_at is not None:
            now = dead_letters.read_letter(data)["died_at"]
            data = data.replace(now.encode(), died_at.encode())
        path.write_bytes(data)
        return path

    def files(self) -> dict[str, bytes]:
        """Return every file below it."""
        return {
            str(path.relative_to(self.directory)): path.read_bytes()
            for path in sorted(self.directory.rglob("*"))
            if path.is_file()
        }


def killed_in_a_child(work: Callable[[], object]) -> bool:
    """Do something in a forked child, and return whether it was killed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and up, where a test left a thread
        child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            work()
            os._exit(0)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def damage(path: Path, event: bytes) -> None:
    """Flip a bit of an event in a batch file."""
    image = bytearray(path.read_bytes())
    image[image.index(event) + 1] ^= 1
    path.write_bytes(image)


def events_of(folder: Path) -> list[bytes]:
    """The events of the batches of a slot, in the order they will be sent."""
    return [
        event
        for path in sorted(folder.glob("*.batch"))
        for event in records.read_records(path.read_bytes()).events
    ]
