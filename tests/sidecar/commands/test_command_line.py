"""How the commands of the sidecar are found, and when they are loaded."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import Command
from support.paths import ROOT


def test_help_of_the_command_names_the_commands_of_the_sidecar(eventpub: Command) -> None:
    out = eventpub("--help").out
    assert re.search(r"^    dead-letters\b", out, re.MULTILINE)
    assert re.search(r"^    spool +inspect, check", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "loaded"),
    [
        (["put", "--help"], set()),
        (["--help"], {"eventpub.sidecar", "eventpub.sidecar.commands"}),
    ],
)
def test_commands_are_loaded_when_they_are_used(words: list[str], loaded: set[str]) -> None:
    program = (
        "import sys, contextlib; from eventpub.cli import main\n"
        f"with contextlib.suppress(SystemExit): main({words})\n"
        "print([name for name in sys.modules if name.startswith(('eventpub.sidecar', 'importlib.metadata',"
        " 'gevent', 'requests'))], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    modules = set(re.findall(r"'([\w.]+)'", done.stderr))
    if loaded:
        assert {name for name in modules if not name.startswith("importlib")} == loaded
    else:
        assert modules == set()


def test_an_extension_that_cannot_be_loaded_costs_only_itself(tmp_path: Path) -> None:
    package = tmp_path / "broken-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[eventpub.commands]\nbroken = missing_module:X\n")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "eventpub", *words]
        environment = os.environ | {"PYTHONPATH": f"{tmp_path}"}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    helped, used = run("--help"), run("broken")
    assert helped.returncode == 0
    assert re.search(r"broken +cannot be loaded: No module named 'missing_module'", helped.stdout)
    assert "spool" in helped.stdout
    assert (used.returncode, used.stdout) == (2, "")
    assert "command 'broken' cannot be loaded: No module named 'missing_module'; reinstall" in used.stderr
