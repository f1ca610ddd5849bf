"""`eventpub dead-letters drop`, and how letters are chosen."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.commands import Command, SpoolFolder
from support.letters import BATCH, OTHER, fill, place, write_config


def test_drop_asks_for_yes(eventpub: Command, spool: SpoolFolder) -> None:
    fill(spool, 2)
    before = spool.files()
    done = eventpub("dead-letters", "drop", "--spool", spool.directory, "--all")
    assert (done.code, done.out) == (1, "")
    assert "would delete 2 dead letters" in done.err
    assert spool.files() == before


@pytest.mark.parametrize(
    ("words", "left"),
    [(["--all"], set()), (["--older-than", "30d"], {OTHER}), ([BATCH], {OTHER}), ([f"{OTHER[:8]}-0"], {BATCH})],
)
def test_drop_removes_what_is_named(
    eventpub: Command, spool: SpoolFolder, words: list[str], left: set[str]
) -> None:
    spool.letter(b"{}", batch_id=BATCH, died_at="2020-01-01T00:00:00Z")
    spool.letter(b"{}", batch_id=OTHER)
    done = eventpub("dead-letters", "drop", "--spool", spool.directory, *words, "--yes")
    assert (done.code, done.out) == (0, f"dropped {2 - len(left)}\n")
    assert {path.name[:32] for path in spool.dead.iterdir()} == left


@pytest.mark.parametrize("action", ["drop", "replay"])
@pytest.mark.parametrize("words", [(), (BATCH, "--all")])
def test_what_to_drop_or_replay_must_be_said_in_one_way(
    eventpub: Command, spool: SpoolFolder, tmp_path: Path, action: str, words: tuple[str, ...]
) -> None:
    config = write_config(tmp_path / "example.ini", spool, "127.0.0.1:1")
    done = eventpub("dead-letters", action, *place(config), *words)
    assert done.code == 64
    assert "in one way: ID…, --all or" in done.err


def test_what_to_show_must_be_said(eventpub: Command, spool: SpoolFolder) -> None:
    done = eventpub("dead-letters", "show", "--spool", spool.directory)
    assert (done.code, done.out) == (64, "")
    assert "select the dead letters in one way: ID… or --all" in done.err
