"""Batch files are made and sealed, on a disk that may not let them be: `sidecar/receive/files.py`."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.disks import SwitchedDisk

from eventpub.queue.message_queue import MessageQueue
from eventpub.sidecar.receive.files import BatchFiles
from eventpub.sidecar.receive.loop_python import PythonLoop
from eventpub.sidecar.spool.batch import Batch
from eventpub.sidecar.spool.spool import Spool
from eventpub.sidecar.telemetry.metrics import Telemetry

BODY_BYTES, MESSAGE_BYTES = 8192, 1024
MAX_BYTES = 4 * BODY_BYTES


class FilesRig:
    """Batch files of a spool that may take `MAX_BYTES`."""

    def __init__(self, folder: Path, queue: MessageQueue) -> None:
        self.switch = folder / "switch"
        self.queue = queue
        telemetry = Telemetry()
        self.spool = Spool(
            folder / "spool", "q", max_bytes=MAX_BYTES, dead_max_bytes=1, fsync=True, telemetry=telemetry,
            disk=SwitchedDisk(self.switch),
        )  # fmt: skip
        self.sealed: list[Batch] = []
        self.files = BatchFiles(self.spool, self.sealed.append, telemetry.progress.seal)

    def receive(self) -> None:
        """Fill a batch to its limit, and have it sealed."""
        batch = self.files.make(self.queue, BODY_BYTES)
        assert batch is not None, self.files.trouble
        batch.state.queue_fd = self.queue.fd
        while self.queue.send(b'"%s"' % (b"x" * (MESSAGE_BYTES - 2))):
            pass
        PythonLoop().receive(batch.state, batch.memory)
        self.files.seal(batch)

    def size_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.spool.directory.iterdir())


@pytest.fixture
def rig(tmp_path: Path, queue_name: str) -> Iterator[FilesRig]:
    with MessageQueue.open(queue_name, max_messages=10, max_message_size=MESSAGE_BYTES) as queue:
        made = FilesRig(tmp_path, queue)
        yield made
        made.files.close()
        made.spool.close()


def test_batches_that_wait_to_be_sealed_count_for_the_limit_of_the_spool(rig: FilesRig) -> None:
    rig.spool.expect(body_limit_bytes=BODY_BYTES, message_size_bytes=MESSAGE_BYTES)
    rig.switch.write_text(f"{errno.EIO} sync")
    waiting = 0
    while rig.spool.has_room():
        rig.receive()
        waiting += 1
        assert rig.size_bytes() <= MAX_BYTES
    assert waiting
    assert not rig.sealed
    rig.files.finish()  # what cannot be sealed is left to the next start
    assert rig.spool.unsealed_bytes == 0


def test_a_batch_counts_once_whether_it_waits_or_is_sealed(rig: FilesRig) -> None:
    rig.receive()
    assert rig.spool.unsealed_bytes
    rig.files.finish()
    assert (rig.spool.unsealed_bytes, rig.spool.size_bytes) == (0, rig.sealed[0].size_bytes)
