"""`eventpub spool repair`: turns a slot without an owner into one with only sealed, intact batches.

It does what the next sidecar would do at its start and when it sends (`spool.folder` has the code for both),
but lets an operator see the plan first and keeps backups. It can be killed and repeated; a second run does
nothing. An intact record is never lost: it is in a batch, and in the backup. The next sidecar counts what was
cut out. Backups are never removed here: once they take too much space, an operator has to remove some first.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from eventpub import wire
from eventpub.cli.exit_codes import EXIT_FAILING, EXIT_OK, EXIT_WARNING
from eventpub.cli.terminal import complain, say
from eventpub.cli.wording import format_json
from eventpub.sidecar.config import DEAD_LETTERS_MAX_BYTES
from eventpub.sidecar.spool import records
from eventpub.sidecar.spool.batch import write_file
from eventpub.sidecar.spool.disk import Disk
from eventpub.sidecar.spool.folder import BACKUPS, DAMAGED, DEAD, Folder
from eventpub.sidecar.spool.plan import header_of
from eventpub.sidecar.spool.slot import make_private, take_slot
from eventpub.sidecar.spool.staging import Part

from . import survey

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from eventpub.sidecar.spool.batch import Batch

    from .place import Place
    from .survey import Flaw


def run_repair(place: Place, *, apply: bool, as_json: bool = False, disk: Disk | None = None) -> int:
    """Print the plan for each slot, carry it out if asked to, and return the exit code.

    Raises:
        SpoolError: the spool is not this user's.
        OSError: the disk failed; everything done so far is consistent, so repeat the command.
    """
    started = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")
    code, repair = EXIT_OK, _Repair(disk or Disk(), as_json=as_json)
    for queue in place.queues:
        backups = queue / BACKUPS
        if apply and _is_full(backups, place):
            code = EXIT_FAILING
            continue
        for slot in survey.list_slots(queue):
            code = max(code, repair.repair_slot(slot, backups / started / slot.name, apply=apply))
    if code == EXIT_WARNING and not apply:
        repair.remark(f"nothing was changed; to carry it out: eventpub spool repair {place.words} --apply")
    elif code == EXIT_OK:
        repair.remark("nothing is left to repair")
    return code


def _is_full(backups: Path, place: Place) -> bool:
    """Return whether earlier backups leave no room for more, and print what to do about it."""
    max_bytes = place.config.dead_letters_max_size_bytes if place.config else DEAD_LETTERS_MAX_BYTES
    taken_bytes = sum(path.stat().st_size for path in backups.rglob("*") if path.is_file())
    if taken_bytes < max_bytes:
        return False
    complain(
        f"{backups}: earlier backups take {taken_bytes:,} bytes; dead_letters.max_size allows {max_bytes:,}; "
        f"nothing was changed; check them (eventpub spool export --damaged {place.words}) and remove them"
    )
    return True


class _Repair:
    """One run, which tells what it finds and does: to people, or a JSON object a line."""

    def __init__(self, disk: Disk, *, as_json: bool) -> None:
        self._disk = disk
        self._as_json = as_json

    def remark(self, text: str) -> None:
        """Say what a program knows by the exit code."""
        if not self._as_json:
            say(text)

    def repair_slot(self, slot: Path, backup: Path, *, apply: bool) -> int:
        """Say what is wrong in a slot, mend it if asked to, and return the exit code."""
        if who := survey.find_owner(slot):
            self.remark(f"{slot}: skipped, {who} owns it and repairs damage itself")
            return EXIT_OK
        if not apply:
            return EXIT_WARNING if self._tell_findings(survey.examine_slot(slot)) else EXIT_OK
        owned = take_slot(slot)
        if owned is None:
            complain(f"{slot}: skipped, a sidecar has just started there and does the same")
            return EXIT_OK
        try:
            return self._mend_slot(slot, backup)
        finally:
            owned.release()

    def _mend_slot(self, slot: Path, backup: Path) -> int:
        """Repair a slot while this process owns it."""
        findings = self._tell_findings(survey.examine_slot(slot, owned=False))
        if not findings:
            return EXIT_OK
        _back_up(slot, findings, backup, self._disk)
        queue = slot.parent
        dead, damaged = queue / DEAD, queue / DAMAGED
        for beside in (dead, damaged):
            make_private(beside)
        folder = Folder(slot, dead, damaged, self._disk, fsync=True)
        folder.restore()
        for batch in folder.batches():
            _cut_batch(batch, folder)
        left = self._tell_findings(survey.examine_slot(slot, owned=False))
        for finding in left:
            complain(f"{finding.path}: could not be repaired")
        self._tell(
            f"{slot}: repaired; the files as they were are in {backup}",
            {"slot": str(slot), "repaired": len(findings) - len(left), "backup": str(backup)},
        )
        return EXIT_FAILING if left else EXIT_OK

    def _tell_findings(self, findings: Iterable[Flaw]) -> list[Flaw]:
        told = []
        for finding in findings:
            self._tell(f"{finding}\n    {finding.remedy}", finding.to_facts())
            told.append(finding)
        return told

    def _tell(self, text: str, facts: dict[str, object]) -> None:
        say(format_json(facts, indent=None) if self._as_json else text)


def _cut_batch(batch: Batch, folder: Folder) -> None:
    """Replace a damaged batch by its intact events, under the id that a sidecar would send them with."""
    try:
        contents = records.read_records(batch.path.read_bytes())
    except OSError:  # the next survey finds it again
        return
    if not contents.damaged and len(contents.events) == batch.events:
        return
    parts, cut = [], max(0, batch.events - len(contents.events))
    if contents.events:
        header = header_of(batch, contents)
        part_id = wire.part_batch_id(header.batch_id, range(len(contents.events)))
        parts.append(Part(next(folder.numbers()), header.head_part(part_id), contents.events))
    folder.staging.replace(batch, parts, {}, cut=cut)


def _back_up(slot: Path, findings: Iterable[Flaw], backup: Path, disk: Disk) -> None:
    """Back up every file that will be changed."""
    make_private(backup)
    for top in {finding.path if finding.path.parent == slot else finding.path.parent for finding in findings}:
        files = [path for path in top.rglob("*") if path.is_file()] if top.is_dir() else [top]
        # a batch goes when its parts take its place
        files += slot.glob(f"{top.stem}.*.batch") if top.is_dir() else []
        for path in files:
            copy = backup / path.relative_to(slot)
            make_private(copy.parent)
            try:
                image = path.read_bytes()
            except OSError:  # the file can be kept, if not read
                disk.link(path, copy)
            else:
                write_file(disk, copy, image, fsync=True)
