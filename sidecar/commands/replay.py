"""Dead letters -> batches -> the collector, once more: `eventpub dead-letters replay`.

`delivery.answer` decides what answers mean, as for the sidecar. A batch's id is derived from the names and
the events of its letters, so the same letters are the same batch in every attempt, and the journal keeps them
together: an event whose answer was lost is stored once, however often a replay is repeated.

It stops at the first answer that says nothing about the events, and where all events are refused one after
the other without a reason of our collector's; the operator decides when to retry. Without gevent's patches,
which only the sidecar applies, the deadline of an attempt interrupts neither a name lookup nor a TLS
handshake.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eventpub import wire
from eventpub.cli.terminal import complain
from eventpub.sidecar.delivery import compression, payload
from eventpub.sidecar.delivery.answer import judge_answer
from eventpub.sidecar.delivery.post import Poster
from eventpub.sidecar.delivery.proof import MAX_GUESSES
from eventpub.sidecar.delivery.refusal import sort_out
from eventpub.sidecar.spool import dead_letters, records
from eventpub.sidecar.spool.batch import write_file
from eventpub.sidecar.spool.disk import Disk
from eventpub.sidecar.spool.folder import DEAD
from eventpub.sidecar.spool.framing import is_one_object
from eventpub.sidecar.telemetry.verdicts import Verdict

from . import journal
from .letters import read_letter
from .outcome import REFUSALS, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from eventpub.sidecar.config import SidecarConfig
    from eventpub.sidecar.delivery.answer import Answer
    from eventpub.sidecar.delivery.refusal import Sorted
    from eventpub.sidecar.spool.dead_letters import Cause

    from .letters import Letter
    from .place import Place

_NOT_STORED = frozenset({401, 403})


@dataclass(frozen=True, slots=True)
class _Item:
    """A letter with its event and the version of the wire it was received under, ready to be sent."""

    path: Path
    id: str
    event: bytes
    version: str | None  # of the wire; None in letters of earlier versions


def run_replay(
    place: Place,
    chosen: Sequence[Letter],
    *,
    dry_run: bool = False,
    as_json: bool = False,
    disk: Disk | None = None,
) -> int:
    """Send letters of the one queue of `place`, and return the exit code; call it `exclusively`.

    Raises:
        ConfigError: the key cannot be read.
        OSError: the disk failed; repeat it.
    """
    assert place.config is not None  # noqa: S101, the command line had to name it
    outcome = Outcome(place.config.collector_url, len(chosen), as_json)
    replay = _Replay(place.queues[0] / DEAD, place.config, disk or Disk(), outcome)
    if dry_run:
        return replay.rehearse(chosen)
    place.config.signing_key()  # report a bad configuration first
    try:
        replay.finish()
        answer = replay.send_all(chosen)
    finally:
        replay.close()
    return outcome.tell(answer)


class _Replay:
    """One run.

    Args:
        dead: the folder of the letters.
        config: the collector and the key.
        disk: the file system.
        outcome: what comes of it.
    """

    def __init__(self, dead: Path, config: SidecarConfig, disk: Disk, outcome: Outcome) -> None:
        self._dead = dead
        self._config = config
        self._disk = disk
        self._outcome = outcome
        self._negotiation = compression.Negotiation(config.compression)
        self._posters: dict[str, Poster] = {}  # by version
        self._guesses = 0  # refusals while nothing was accepted

    def rehearse(self, chosen: Sequence[Letter]) -> int:
        """Say what would be sent."""
        sizes = [len(batch) for batch in self._batches(self._items(chosen))]
        return self._outcome.tell_plan(sizes, len(journal.list_unanswered(self._dead)))

    def finish(self) -> None:
        """Remove the letters that an interrupted replay had recorded as accepted."""
        journal.tidy_journal(self._dead, self._disk)
        for entry in journal.list_accepted(self._dead):
            left = [name for name in entry.names if (self._dead / name).exists()]
            journal.settle_entry(entry, self._disk)
            self._outcome.accepted += len(left)

    def send_all(self, chosen: Iterable[Letter]) -> Answer | None:
        """Send letters, those of an interrupted replay first; return the answer that stopped it, if any."""
        settled: set[Path] = set()
        for entry in journal.list_unanswered(self._dead):
            batch = self._repeat(entry)
            settled |= {item.path for item in batch}
            if batch and (answer := self._send(batch, entry.parents)):
                return answer
        rest = (letter for letter in chosen if letter.path not in settled)
        for batch in self._batches(self._items(rest)):
            if answer := self._send(batch):
                return answer
        return None

    def close(self) -> None:
        """Close the connection."""
        for poster in self._posters.values():
            poster.close()

    def _repeat(self, entry: journal.Entry) -> list[_Item]:
        """Return a batch as it was sent; empty if letters were removed or changed since."""
        try:
            batch = [_read_item(self._dead / name) for name in entry.names]
        except (FileNotFoundError, ValueError):
            batch = []
        if batch and _batch_id(batch) == entry.batch_id:
            return batch
        complain(
            "letters of an interrupted replay were removed or changed by hand: if the collector has the batch "
            f"{entry.batch_id}, it may store what is left of it twice"
        )
        self._disk.remove(entry.path)
        return []

    def _items(self, letters: Iterable[Letter]) -> Iterator[_Item]:
        for letter in letters:
            try:
                item = _read_item(letter.path)
            except FileNotFoundError:  # removed by hand, or accepted by what was finished before
                continue
            if is_one_object(item.event):
                yield item
            else:
                self._outcome.keep(item.id, "it is not one JSON object, and would corrupt its batch")

    def _batches(self, items: Iterable[_Item]) -> Iterator[list[_Item]]:
        batch: list[_Item] = []
        size_bytes = wire.CONTAINER_OVERHEAD
        for item in items:
            is_full = size_bytes + len(item.event) + 1 > self._config.batch_max_size_bytes
            if batch and (is_full or item.version != batch[0].version):
                yield batch
                batch, size_bytes = [], wire.CONTAINER_OVERHEAD
            batch.append(item)
            size_bytes += len(item.event) + 1
        if batch:
            yield batch

    def _send(self, batch: list[_Item], parents: tuple[str, ...] = ()) -> Answer | None:
        """Send a batch, in parts if it is refused; return the answer that stopped it, if any."""
        sent_before = journal.has_entry(self._dead, _batch_id(batch))
        waiting = [(batch, self._note(batch, parents))]
        while waiting:
            part, entry = waiting.pop()
            codec = self._negotiation.codec()
            answer = self._post(entry, part, codec)
            verdict = judge_answer(answer)
            if verdict is Verdict.ACCEPTED:
                journal.settle_entry(entry, self._disk)
                self._outcome.accepted += len(part)
            elif self._is_doubtful(answer, verdict):
                return answer
            elif plan := self._plan(part, answer, verdict):
                lineage = (entry.batch_id, *entry.parents)[: records.MAX_PARENTS]
                parts = [[part[index] for index in group] for group in plan.groups]
                # before anything else: an earlier attempt at the whole may have been stored
                waiting += reversed([(smaller, self._note(smaller, lineage)) for smaller in parts])
                for index, cause in plan.buried.items():
                    self._bury(part[index], cause)
                self._disk.remove(entry.path)
            elif verdict is Verdict.RECODE and self._negotiation.refused(codec):
                waiting.append((part, entry))
            else:
                if not (sent_before or entry.parents) and _is_certainly_not_stored(answer):
                    self._disk.remove(entry.path)  # or its letters could only be sent and dropped together
                return answer
            self._outcome.show_progress()
        return None

    def _note(self, batch: list[_Item], parents: tuple[str, ...]) -> journal.Entry:
        names = (item.path.name for item in batch)
        return journal.write_entry(self._dead, _batch_id(batch), names, self._disk, parents)

    def _is_doubtful(self, answer: Answer, verdict: Verdict) -> bool:
        """Tell whether everything is refused, perhaps by something in the collector's place."""
        if self._outcome.accepted or answer.is_judgement or verdict not in REFUSALS:
            return False
        self._guesses += 1
        return self._guesses > MAX_GUESSES

    def _plan(self, batch: list[_Item], answer: Answer, verdict: Verdict) -> Sorted | None:
        """Return what becomes of a refused batch; no proof is needed, since its events are letters anyway."""
        if verdict not in REFUSALS:
            return None
        return sort_out(len(batch), answer, verdict, is_proven=True)

    def _post(self, entry: journal.Entry, batch: list[_Item], codec: compression.Codec) -> Answer:
        version = batch[0].version or self._config.collector_version
        if version not in self._posters:
            self._posters[version] = Poster.of_config(self._config, version, concurrency=1)
        answer = self._posters[version].post(
            payload.build_payload(
                version,
                b",".join(item.event for item in batch),
                len(batch),
                batch_id=entry.batch_id,
                parents=entry.parents,
                attempt=1,
                key=self._config.signing_key(),
                codec=codec,
            )
        )
        if answer.status is not None:
            self._negotiation.offered(answer.codings)
        return answer

    def _bury(self, item: _Item, cause: Cause) -> None:
        document = dead_letters.read_letter(item.path.read_bytes())
        write_file(self._disk, item.path, dead_letters.refused_again(document, cause), fsync=True)
        self._outcome.keep(item.id, f"{cause.reason.value} {cause.status}: {cause.detail}")


def _read_item(path: Path) -> _Item:
    """Read a letter to send.

    Raises:
        FileNotFoundError: it is gone.
        ValueError: it is no longer a dead letter.
    """
    letter = read_letter(path)
    document = dead_letters.read_letter(path.read_bytes())
    return _Item(path, letter.id, dead_letters.event_of(document), dead_letters.version_of(document))


def _is_certainly_not_stored(answer: Answer) -> bool:
    return answer.status in _NOT_STORED or not answer.is_sent


def _batch_id(batch: Iterable[_Item]) -> str:
    digest = hashlib.blake2b(digest_size=16, person=b"eventpub replay")
    for item in batch:
        digest.update(f"{item.path.name} {len(item.event)} ".encode() + item.event)
    return digest.hexdigest()
