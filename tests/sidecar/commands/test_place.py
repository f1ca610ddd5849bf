"""How a command finds its spool: by configuration, or by its folder."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from support.commands import Command, SpoolFolder
from support.forked import as_root, in_child
from support.letters import BATCH, fill, write_config
from support.paths import let_others_in

from eventpub.cli import main

UUID = "11111111-2222-4333-8444-555555555555"


@pytest.mark.parametrize("words", [(), ("a.ini", "--spool", "b")])
def test_a_spool_must_be_named_in_one_way(eventpub: Command, words: tuple[str, ...]) -> None:
    done = eventpub("spool", "status", *words)
    assert (done.code, done.out) == (64, "")
    assert "--spool DIR" in done.err


def test_a_spool_that_is_not_there_has_an_exit_code_of_its_own(eventpub: Command, tmp_path: Path) -> None:
    done = eventpub("spool", "status", "--spool", tmp_path / "none")
    assert (done.code, done.out) == (73, "")
    assert "does not exist; its sidecar creates it" in done.err


def test_a_queue_that_is_not_there_is_answered_with_those_that_are(
    eventpub: Command, spool: SpoolFolder
) -> None:
    done = eventpub("spool", "status", "--spool", spool.directory, "--queue-name", "typo")
    assert done.code == 73
    assert "has no queue typo (queues: q)" in done.err


def test_a_spool_without_queues_is_said_to_hold_none(eventpub: Command, tmp_path: Path) -> None:
    done = eventpub("spool", "status", "--spool", tmp_path)
    assert done.code == 73
    assert "has no queue (queues: none)" in done.err


def test_the_only_sidecar_of_a_file_needs_no_name_and_one_of_several_does(
    eventpub: Command, spool: SpoolFolder, tmp_path: Path
) -> None:
    section = "[event-publisher:{}]\ncollector.hostname = c\nkey.name = k\nkey.secret = aHVudGVyMg==\n"
    section += "spool.dir = {}\n"
    file = tmp_path / "a.ini"
    file.write_text(section.format("q", spool.directory) + "[statsd]\n")
    for words in (("spool", "status"), ("dead-letters", "list")):
        assert eventpub(*words, file).code == 0
    file.write_text(section.format("q", spool.directory) + section.format("other", spool.directory))
    done = eventpub("spool", "status", file)
    assert done.code == 64
    assert "has several sidecars (q, other); choose one with --queue-name NAME" in done.err


@pytest.mark.parametrize("words", ["status", "top --once", "spool status", "tap", f"where {UUID}"])
def test_the_collectors_file_is_not_taken_for_a_sidecars(eventpub: Command, tmp_path: Path, words: str) -> None:
    file = tmp_path / "collector.ini"
    file.write_text("[collector]\n[keys]\n")
    done = eventpub(*words.split(), file)
    assert done.code == 78
    assert f"{file} is a collector's file; a sidecar's has a section [event-publisher:NAME]" in done.err
    assert (f"--store {file}" in done.err) == words.startswith("where")


def test_ids_may_stand_before_the_file(eventpub: Command, spool: SpoolFolder, tmp_path: Path) -> None:
    fill(spool, 2)
    config = write_config(tmp_path / "v2.ini", spool, "localhost:9")
    ids = [f"{BATCH[:12]}-{index}" for index in (0, 1)]
    for words in ([config, *ids], [*ids, config], [ids[0], config, ids[1]]):
        done = eventpub("dead-letters", "show", *words, "--json")
        assert (done.code, len(done.out.splitlines())) == (0, 2), words


def test_a_wrong_configuration_points_to_the_way_without_one(eventpub: Command, tmp_path: Path) -> None:
    (tmp_path / "a.ini").write_text("[event-publisher:main]\n")
    done = eventpub("spool", "status", tmp_path / "a.ini")
    assert done.code == 78
    assert "name it with --spool DIR" in done.err


@as_root
def test_another_user_is_told_of_the_spool_of_a_sidecar_that_runs(
    spool: SpoolFolder, tmp_path: Path, queue_name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    let_others_in(tmp_path)
    slot = spool.directory / queue_name / "0"
    slot.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{slot}.sock")
        listening.listen()
        for words in (["status", "--queue-name", queue_name], ["tap", queue_name], ["where", UUID]):
            code = in_child(lambda words=words: main(words), uid=65_534)
            out, err = capfd.readouterr()
            said = f"{spool.directory}: this user may not use it; run the command as its owner: sudo -u 'root'"
            assert (code, said in out + err) == ({"status": 1, "tap": 73, "where": 2}[words[0]], True), (
                out + err
            )
        code = in_child(lambda: main(["tap", f"{queue_name}-of-mine"]), uid=65_534)
        assert (code, "no sidecar of queue" in (said := capfd.readouterr().err)) == (69, True), said
        assert str(spool.directory) not in said, "another's spool says nothing of this queue"


@as_root
@pytest.mark.parametrize("words", [("spool", "check"), ("spool", "export"), ("dead-letters", "list")])
def test_another_user_is_told_whose_it_is(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, spool: SpoolFolder, words: tuple[str, str]
) -> None:
    let_others_in(tmp_path)
    code = in_child(lambda: main([*words, "--spool", str(spool.directory)]), uid=65_534)
    assert code == 73
    assert "run the command as its owner: sudo -u 'root' eventpub" in capfd.readouterr().err
