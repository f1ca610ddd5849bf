"""The sidecar's command line: exit codes and what is said."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.native import built
from support.nursery import Nursery
from support.paths import ROOT
from support.processes import run_module
from support.sidecar_process import SECRET

from eventpub.errors import QueueMissingError
from eventpub.queue.message_queue import MessageQueue
from eventpub.sidecar.cli import main
from eventpub.sidecar.receive.loop import compiled_loop

GOOD = f"""[event-publisher:v2]
collector.hostname = 127.0.0.1:9
collector.scheme = http
key.name = test
key.secret = {SECRET}
"""


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(nursery: Nursery) -> Run:
    """Run the program to its end, with these words behind its name."""
    return functools.partial(nursery.run, "sidecar")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "v2.ini"
    path.write_text(GOOD + f"spool.dir = {tmp_path / 'spool'}\n")
    return path


def test_help_has_examples_and_exit_codes(run: Run) -> None:
    shown = run("--help")
    assert shown.returncode == 0
    assert "python -m eventpub.sidecar --queue-name v2 example.ini" in shown.stdout
    assert "78 wrong configuration" in shown.stdout
    assert "128 + N ended by a second signal N" in shown.stdout


def test_check_config_says_what_a_good_file_means(run: Run, config: Path, tmp_path: Path) -> None:
    shown = run("--queue-name", "v2", "--check-config", config)
    assert shown.returncode == 0
    assert f"http://127.0.0.1:9/v2, spool in {tmp_path / 'spool'}" in shown.stdout


def test_no_sidecar_starts_where_events_are_told_to_go_elsewhere(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENTPUB_QUEUE", "print")
    shown = run_module("eventpub.sidecar", "--queue-name", "v2", config)
    assert shown.returncode == 78
    assert (
        "[environment] EVENTPUB_QUEUE = print: is for development without a sidecar; unset it" in shown.stderr
    )


def test_check_config_warns_of_a_secret_file_that_others_may_read(
    run: Run, config: Path, tmp_path: Path
) -> None:
    secret_file = tmp_path / "secret"
    secret_file.write_text(SECRET)
    config.write_text(config.read_text().replace(f"key.secret = {SECRET}", f"key.secret_file = {secret_file}"))
    for mode, warnings in ((0o644, 1), (0o600, 0)):
        secret_file.chmod(mode)
        shown = run("--queue-name", "v2", "--check-config", config)
        assert (shown.returncode, ": good; " in shown.stdout) == (0, True)
        assert shown.stderr.count(f"run: chmod o= {secret_file}\n") == warnings


def test_check_config_takes_the_example(run: Run) -> None:
    assert run("--queue-name", "v2", "--check-config", "example.ini").returncode == 0


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("batch.max_agee = 1\n", "batch.max_agee: unknown key; did you mean batch.max_age?"),
        ("batch.max_age = soon\n", "batch.max_age = soon: expected seconds"),
        ("batch.max_age = 0\n", "batch.max_age = 0: expected seconds"),
        ("key.name = again\n", "key.name: appears twice"),
        ("compression = lzma\n", "compression = lzma: expected one of auto, zstd, gzip, none"),
    ],
)
def test_wrong_configuration_exits_78_and_names_the_key(
    run: Run, config: Path, change: str, complaint: str
) -> None:
    config.write_text(config.read_text() + change)
    shown = run("--queue-name", "v2", config)
    assert (shown.returncode, complaint in shown.stderr) == (78, True), shown.stderr
    assert SECRET not in shown.stderr + shown.stdout


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("queue.group = no-such-group\n", "queue.group = no-such-group: there is no such group"),
        ("queue.mode = 0\n", "queue.mode = 0000: its owner must be able to read and write"),
        ("queue.mode = 0420\n", "queue.mode = 0420: its owner must be able to read and write"),
        ("spool.dir = /proc/spool\n", "spool.dir = /proc/spool: cannot be created in /proc"),
        ("spool.dir = /etc/passwd\n", "spool.dir = /etc/passwd: is not a folder"),
        (f"collector.ca_file = {__file__}\n", "holds no certificate in PEM form"),
        ("spool.dir = /etc/passwd/spool\n", "spool.dir = /etc/passwd/spool: cannot be created in /etc/passwd"),
    ],
)
def test_check_config_looks_whether_the_host_has_what_the_file_names(
    run: Run, config: Path, change: str, complaint: str
) -> None:
    key = change.partition(" ")[0]
    kept = [line for line in config.read_text().splitlines(keepends=True) if not line.startswith(key)]
    config.write_text("".join(kept) + change)
    shown = run("--queue-name", "v2", "--check-config", config)
    assert (shown.returncode, complaint in shown.stderr) == (78, True), shown.stderr


def test_check_config_leaves_no_trace_of_a_spool_that_can_be_made(
    run: Run, config: Path, tmp_path: Path
) -> None:
    assert run("--queue-name", "v2", "--check-config", config).returncode == 0
    assert list(tmp_path.iterdir()) == [config]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda spool: spool.chmod(0o777), "spool: other users may write to it; run: chmod 700 "),
        (lambda spool: (spool / "v2").chmod(0o707), "v2: other users may write to it; run: chmod 700 "),
        (lambda spool: (spool / "v2" / "dead").write_text("x"), "dead: is not a folder"),
        (lambda spool: (spool / "v2" / "0").symlink_to("/tmp"), "0: is not a folder"),
        (
            lambda spool: spool.parent.chmod(0o777),
            "spool: other users may replace it, since they may write to ",
        ),
    ],
    ids=["spool", "queue", "dead letters", "slot", "above"],
)
def test_check_config_refuses_a_spool_that_a_start_would_refuse(
    run: Run, config: Path, tmp_path: Path, spoil: Callable[[Path], object], reason: str
) -> None:
    (tmp_path / "spool").mkdir(mode=0o700)
    (tmp_path / "spool" / "v2").mkdir(mode=0o700)
    spoil(tmp_path / "spool")
    checked, started = (run("--queue-name", "v2", *words, config) for words in (["--check-config"], []))
    assert (checked.returncode, started.returncode) == (78, 73)
    assert reason in checked.stderr
    assert reason in started.stderr


def test_check_config_warns_of_a_queue_that_does_not_fit_this_kernel(
    run: Run, config: Path, queue_name: str
) -> None:
    good = config.read_text().replace(":v2]", f":{queue_name}]") + "max_message_size = 1 KiB\n"
    for messages, warnings in ((65_536, 1), (4, 0)):
        config.write_text(f"{good}max_queue_size = {messages}\n")
        shown = run("--queue-name", queue_name, "--check-config", config)
        assert (shown.returncode, ": good; " in shown.stdout) == (0, True)
        assert (
            shown.stderr.count("the queue cannot be created: the kernel refuses 65,536 messages of 1,024")
            == warnings
        )
    with pytest.raises(QueueMissingError):
        MessageQueue.open(queue_name, create=False)


def test_missing_section_exits_78_and_lists_those_there_are(run: Run, config: Path) -> None:
    shown = run("--queue-name", "other", config)
    assert shown.returncode == 78
    assert "[event-publisher:v2]" in shown.stderr


def test_wrong_arguments_exit_2(run: Run) -> None:
    assert run("--no-such-option").returncode == 64


def test_queue_larger_than_the_kernel_allows_exits_69_with_the_commands_that_allow_it(
    run: Run, config: Path, queue_name: str
) -> None:
    text = config.read_text().replace(":v2]", f":{queue_name}]")
    config.write_text(text + "max_queue_size = 65536\nmax_message_size = 100 KiB\n")
    shown = run("--queue-name", queue_name, config)
    assert shown.returncode == 69
    assert "sysctl" in shown.stderr


def test_spool_that_others_may_write_to_exits_73_with_the_command_that_mends_it(
    run: Run, config: Path, tmp_path: Path, queue_name: str
) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool").chmod(0o777)
    config.write_text(config.read_text().replace(":v2]", f":{queue_name}]"))
    shown = run("--queue-name", queue_name, config)
    assert shown.returncode == 73
    assert f"chmod 700 {tmp_path / 'spool'}" in shown.stderr


def test_file_in_the_place_of_a_spool_folder_exits_73(
    run: Run, config: Path, tmp_path: Path, queue_name: str
) -> None:
    config.write_text(config.read_text().replace(":v2]", f":{queue_name}]"))
    (tmp_path / "spool").mkdir(mode=0o700)
    (tmp_path / "spool" / queue_name).mkdir(mode=0o700)
    (tmp_path / "spool" / queue_name / "damaged").write_text("in the way")
    shown = run("--queue-name", queue_name, config)
    assert shown.returncode == 73
    assert "damaged" in shown.stderr


def test_a_checkout_without_compiled_loops_says_so_in_its_version_and_its_start_line(
    tmp_path: Path, config: Path, queue_name: str
) -> None:
    """`python -m` takes the tree it stands in, not what is installed: an event costs three times the CPU."""
    checkout = tmp_path / "checkout"
    left_out = shutil.ignore_patterns("_loops*", "__pycache__")
    for name in ("eventpub", "sidecar", "schemas"):
        shutil.copytree(ROOT / name, checkout / name, symlinks=True, ignore=left_out)
    shutil.copy(ROOT / "pyproject.toml", checkout)
    command = [sys.executable, "-m", "eventpub.sidecar"]
    version = subprocess.run([*command, "--version"], cwd=checkout, capture_output=True, text=True, check=True)
    assert re.fullmatch(r"eventpub [\d.]+ loops=python \(a source tree: run .*\)\n", version.stdout)

    config.write_text(config.read_text().replace(":v2]", f":{queue_name}]"))
    with subprocess.Popen(
        [*command, "--queue-name", queue_name, config], cwd=checkout, stderr=subprocess.PIPE, text=True
    ) as sidecar:
        line = next(line for line in sidecar.stderr if "started queue=" in line)
        sidecar.terminate()
        sidecar.stderr.read()
    assert " WARNING " in line
    assert "loops='python (a source tree: run" in line


def test_compiled_loops_are_told_in_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    built(compiled_loop())
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.endswith(" loops=compiled\n")


@pytest.mark.parametrize("key", ["key.secret_file", "key.name", "key.signature"])
def test_a_secret_that_is_written_in_another_key_is_not_shown(run: Run, config: Path, key: str) -> None:
    secret = "aHVudGVyMmh1bnRlcjI,"  # not even where it is one character off
    kept = [line for line in config.read_text().splitlines() if not line.startswith(("key.secret", key))]
    config.write_text("\n".join([*kept, f"{key} = {secret}"]))
    for arguments in (["--check-config"], []):
        shown = run("--queue-name", "v2", *arguments, config)
        assert shown.returncode in (75, 78)
        assert key.partition(".")[0] in shown.stderr
        assert secret[:8] not in shown.stdout + shown.stderr


@pytest.mark.parametrize("key", ["key.secret_file", "collector.ca_file", "collector.client_certificate"])
def test_a_file_that_is_not_there_yet_ends_with_a_code_that_supervisors_start_again(
    run: Run, config: Path, tmp_path: Path, key: str
) -> None:
    text = config.read_text()
    text = text.replace(f"key.secret = {SECRET}\n", "") if key == "key.secret_file" else text
    config.write_text(f"{text}{key} = {tmp_path}/later\n")
    started = run("--queue-name", "v2", config)
    assert (started.returncode, f"{tmp_path}/later" in started.stderr) == (75, True)
    assert run("--queue-name", "v2", "--check-config", config).returncode == 78


def test_a_secret_file_that_is_empty_yet_ends_with_a_code_that_supervisors_start_again(
    run: Run, config: Path, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("\n")
    config.write_text(config.read_text().replace(f"key.secret = {SECRET}", f"key.secret_file = {tmp_path}/key"))
    assert run("--queue-name", "v2", config).returncode == 75
