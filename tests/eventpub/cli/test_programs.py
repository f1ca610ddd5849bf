"""`eventpub sidecar` and `eventpub collector` are what `python -m eventpub.sidecar` and so on start."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.entry_points import install
from support.paths import ROOT
from support.waiting import wait_until

from eventpub.cli.command import build_parser

PROGRAMS = ("sidecar", "collector")
SCRIPT = Path(sys.executable).with_name("eventpub")


def run(*command: str | Path, path: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(path), "COLUMNS": "200"}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    "words",
    [
        ("sidecar", "--queue-name", "v2", "--check-config", "example.ini"),
        ("sidecar", "--queue-name", "other", "--check-config", "example.ini"),
        ("sidecar", "--version"),
        ("sidecar",),
        ("collector", "--check-config", "deploy/collector.ini"),
        ("collector", "--version"),
        ("collector", "--faults"),
        ("sidecar", "--help"),
        ("collector", "--help"),
    ],
    ids=" ".join,
)
def test_the_command_says_and_returns_what_the_module_does(words: tuple[str, ...]):
    program, *arguments = words
    command, module = run(SCRIPT, *words), run(sys.executable, "-m", f"eventpub.{program}", *arguments)
    as_module = f"python -m eventpub.{program}"
    assert command.returncode == module.returncode
    for by_command, by_module in ((command.stdout, module.stdout), (command.stderr, module.stderr)):
        spaces = re.compile(r"\s+")  # help lines are wrapped by the length of the name
        expected = spaces.sub(" ", by_module.replace(as_module, f"eventpub {program}"))
        assert spaces.sub(" ", by_command) == expected


@pytest.mark.parametrize("program", PROGRAMS)
def test_gevent_patches_before_the_command_line_imports_anything_else(program: str):
    code = (
        "import sys; from eventpub.cli import main\n"
        f"try: main(['{program}', '--version'])\n"
        "except SystemExit: pass\n"
        "from gevent import monkey\n"
        "names = list(sys.modules)  # in the order of their import\n"
        "print(monkey.is_module_patched('socket'), *names[: names.index('gevent')], file=sys.stderr)"
    )
    done = run(sys.executable, "-W", "error", "-c", code)
    patched, *before = done.stderr.split()
    assert patched == "True"
    assert not {
        "ssl",
        "urllib3",
        "requests",
        "argparse",
        "eventpub.cli.command",
        f"eventpub.{program}.cli",
    } & set(before)


def test_the_help_of_the_command_lists_both_programs():
    out = run(SCRIPT, "--help").stdout
    for program in PROGRAMS:
        assert re.search(rf"^    {program} +\w", out, re.MULTILINE)
        assert f"\n  eventpub {program} " in out


@pytest.mark.parametrize(
    "words", [("--", "sidecar"), ("--nonsense", "collector", "collector.ini")], ids=" ".join
)
def test_a_program_whose_name_does_not_come_first_is_a_wrong_command_line(words: tuple[str, ...]):
    done = run(SCRIPT, *words)
    assert (done.returncode, done.stdout) == (64, "")
    assert done.stderr.startswith("usage: eventpub ")


def test_a_program_that_cannot_be_loaded_costs_only_itself(tmp_path: Path):
    announced = """
        from eventpub.cli.extensions import Extension
        BROKEN = Extension("does nothing", "no_such_module", is_program=True)
        """
    install(tmp_path, "broken", announced, {"eventpub.commands": {"broken": "broken:BROKEN"}})
    done, listed = run(SCRIPT, "broken", path=tmp_path), run(SCRIPT, "--help", path=tmp_path)
    assert done.returncode == 2
    assert "command 'broken' cannot be loaded: No module named 'no_such_module'; reinstall" in done.stderr
    assert (listed.returncode, "does nothing" in listed.stdout) == (0, True)


def test_commands_do_not_pay_for_programs():
    code = "import sys; from eventpub.cli import main; main(['queue', 'list']); print('gevent' in sys.modules)"
    assert run(sys.executable, "-c", code).stdout.endswith("False\n")
    assert {"completion", "doctor", "put", "queue"} == set(_names(build_parser(["put"])))


def _names(parser: object) -> list[str]:
    (actions,) = [action for action in parser._actions if action.choices]  # type: ignore[attr-defined]
    return list(actions.choices)


def test_a_collector_started_by_the_command_serves_until_it_is_told_to_stop(tmp_path: Path):
    config, ready = tmp_path / "collector.ini", tmp_path / "url"
    config.write_text("[collector]\nlisten = 127.0.0.1:0\n[keys]\nshop = aHVudGVyMg==\n")
    child = subprocess.Popen([SCRIPT, "collector", "--ready-file", ready, config], cwd=tmp_path)
    try:
        wait_until(ready.exists, "it listens")
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 0
    finally:
        child.kill()
        child.wait()
