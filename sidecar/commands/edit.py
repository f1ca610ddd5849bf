"""`eventpub dead-letters edit`: correct one event in an editor, and send it.

The correction takes the event's place in its letter by one rename, before anything is sent, and the letter
keeps the original beside it. From there on it is a replay of this letter: the batch's id is derived from the
corrected event, the journal repeats it exactly after a crash, and the letter is removed once the collector has
accepted it. A letter that an unfinished replay may have delivered is not edited.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from eventpub.cli.errors import UsageError
from eventpub.cli.exit_codes import EXIT_WARNING
from eventpub.cli.terminal import complain, make_printable
from eventpub.cli.wording import format_json
from eventpub.errors import EventPubError
from eventpub.sidecar.spool import dead_letters
from eventpub.sidecar.spool.batch import write_file
from eventpub.sidecar.spool.disk import Disk

from . import journal, letters
from .errors import BusyError
from .named import name_event, write_event
from .outcome import Outcome
from .replay import run_replay

if TYPE_CHECKING:
    from .letters import Letter
    from .place import Place

_WIDTH = 100
_HELP = (
    "Correct the event below, save it and leave the editor. It is checked and sent, and its dead letter is "
    "removed once the collector has accepted it. To change nothing, leave it as it is."
)


def edit_letter(
    place: Place, letter: Letter, schema: type | None, *, as_json: bool = False, disk: Disk | None = None
) -> int:
    """Have one letter of `place` edited, send it, and return the exit code.

    Raises:
        UsageError: there is no terminal or no editor.
        BusyError: another command uses the letters, or a replay has to be finished first.
        ConfigError: the key cannot be read.
        OSError: the disk failed.
    """
    assert place.config is not None  # noqa: S101, the command line had to name it
    editor = find_editor()
    _check_settled(place, letter)
    place.config.signing_key()  # report a bad configuration before the work
    disk = disk or Disk()
    data = letter.path.read_bytes()
    document = dead_letters.read_letter(data)
    version = dead_letters.version_of(document) or place.config.collector_version
    with tempfile.TemporaryDirectory(prefix="eventpub-edit-") as folder:
        draft = _Draft(letter, editor, folder)
        event = draft.edit(dead_letters.event_of(document), schema, version)
        if event is None:
            return _tell_unchanged(place.config.collector_url, letter, as_json=as_json)
        with letters.lock_letters(letter.path.parent.parent):
            _check_settled(place, letter)
            if not letter.path.exists() or letter.path.read_bytes() != data:
                complain(f"{letter.id} was changed or removed meanwhile; your text is in {draft.keep()}")
                return _tell_unchanged(place.config.collector_url, letter, as_json=as_json)
            write_file(disk, letter.path, dead_letters.corrected(document, event), fsync=True)
            return run_replay(place, [letter], as_json=as_json, disk=disk)


def _tell_unchanged(url: str, letter: Letter, *, as_json: bool) -> int:
    """Say so to a program, and return the exit code; people have been told why."""
    if as_json:
        outcome = Outcome(url, 1, as_json)
        outcome.keep(letter.id, "it was not changed")
        return outcome.tell(None)
    return EXIT_WARNING


def find_editor() -> list[str]:
    """Return the command of the editor: $VISUAL, or else $EDITOR.

    Raises:
        UsageError: there is no terminal, or no such program.
    """
    if not (sys.stdin.isatty() and _screen().isatty()):
        raise UsageError(
            "edit opens an editor, which needs a terminal on its input and on its output or standard error; "
            "for programs there is `eventpub dead-letters show --json`"
        )
    text = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ""
    with contextlib.suppress(ValueError):
        words = shlex.split(text)
        if words and shutil.which(words[0]):
            return words
    named = f"the editor {text!r} is not installed" if text else "no editor is named"
    raise UsageError(f"{named}; set $VISUAL or $EDITOR: EDITOR=nano eventpub dead-letters edit …")


def _screen() -> TextIO:
    """Return what the editor draws on: standard output, or standard error where the former is a pipe."""
    return sys.stdout if sys.stdout.isatty() else sys.stderr


def _check_settled(place: Place, letter: Letter) -> None:
    """Refuse to edit what may have been delivered.

    Raises:
        BusyError: a replay was interrupted.
    """
    dead = letter.path.parent
    if journal.list_unanswered(dead) or journal.list_accepted(dead):
        raise BusyError(
            "a replay was interrupted, and the collector may have its events already; finish it first: "
            f"eventpub dead-letters replay {place.words} --all"
        )


class _Draft:
    """What is edited: a file in `folder`, of this user only."""

    def __init__(self, letter: Letter, editor: list[str], folder: str) -> None:
        self._letter = letter
        self._editor = editor
        self._path = Path(folder) / f"{letter.id}.json"

    def keep(self) -> Path:
        """Leave the file to the person who wrote it, and return where."""
        return self._path.rename(Path(tempfile.mkdtemp(prefix="eventpub-edited-")) / self._path.name)

    def edit(self, event: bytes, schema: type | None, version: str) -> bytes | None:
        """Return the corrected event; None if nothing was changed, or nothing valid came of it."""
        body = _show_event(event, schema, version)
        text, trouble = body, ""
        while True:
            self._path.write_text(self._head(trouble) + text, encoding="utf-8", errors="replace")
            if code := _run_editor([*self._editor, str(self._path)]):
                complain(f"the editor ended with {code}, so nothing was changed")
                return None
            text = _drop_head(self._path.read_text(encoding="utf-8", errors="replace"))
            if not text.strip() or text.strip() == body.strip():
                complain("the event was not changed, so nothing is sent")
                return None
            try:
                return write_event(json.loads(text), schema, version)
            except (EventPubError, ValueError, RecursionError) as error:
                trouble = str(error)
            complain(f"this is not a valid event: {trouble}")
            if not _ask("edit it again? [Y/n] "):
                complain("nothing was changed")
                return None

    def _head(self, trouble: str) -> str:
        letter = self._letter
        status = f" {letter.status}" if letter.status else ""
        why = f"Refused as {letter.reason}{status}: {letter.detail}"
        paragraphs = (f"Dead letter {letter.id}, died at {letter.died_at}", why, trouble, _HELP)
        lines = [
            line for text in paragraphs for line in textwrap.wrap(make_printable(text).expandtabs(), _WIDTH)
        ]
        return "".join(f"# {line}\n" for line in lines) + "\n"


def _run_editor(words: list[str]) -> int:
    """Run the editor and return its exit code; Ctrl-C means something to it, and nothing to us."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        return subprocess.run(words, check=False, stdout=_screen()).returncode
    finally:
        signal.signal(signal.SIGINT, before)


def _show_event(event: bytes, schema: type | None, version: str) -> str:
    """Return an event as text to be edited: by names, or as it came if it is not JSON."""
    try:
        return format_json(name_event(event, schema, version)) + "\n"
    except (ValueError, RecursionError):
        return event.decode(errors="replace") + "\n"


def _drop_head(text: str) -> str:
    """Return a text without the comment above its first empty line."""
    head, separator, rest = text.partition("\n\n")
    is_comment = all(line.startswith("#") for line in head.splitlines())
    return rest if separator and is_comment else text


def _ask(question: str) -> bool:
    try:
        _screen().write(question)
        _screen().flush()
        return input().strip().lower() in ("", "y", "yes")
    except EOFError:
        return False
