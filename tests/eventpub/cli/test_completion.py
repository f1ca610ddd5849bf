"""`eventpub completion`: what a shell offers when the tab key is pressed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from support.eventpub_command import run

ASK_BASH = """
source {script}
COMP_WORDS=({words} "{begun}")
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_shtab_eventpub eventpub "{begun}" ""
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "eventpub.bash"
    done = run("completion", "bash")
    assert (done.code, done.err) == (0, "")
    path.write_text(done.out)
    return path


def offer(script: Path, words: str, begun: str = "", *, folder: Path | None = None) -> set[str]:
    asked = ASK_BASH.format(script=script, words=words, begun=begun)
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True, cwd=folder)
    return {*done.stdout.split()}


def test_bash_is_offered_commands_actions_and_options_of_commands_and_programs(script: Path) -> None:
    assert {"doctor", "queue", "sidecar", "collector", "dead-letters", "store"} <= offer(script, "eventpub")
    assert offer(script, "eventpub spool", "re") == {"repair"}
    assert offer(script, "eventpub queue create", "--max-message-") == {"--max-message-size"}
    assert offer(script, "eventpub sidecar", "--check") == {"--check-config"}


def test_bash_is_offered_files_where_a_configuration_belongs(script: Path, tmp_path: Path) -> None:
    (tmp_path / "shop.ini").touch()
    assert offer(script, "eventpub spool status", "sh", folder=tmp_path) == {"shop.ini"}


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_scripts_for_other_shells_are_read_by_them(shell: str, tmp_path: Path) -> None:
    done = run("completion", shell)
    assert (done.code, done.err) == (0, "")
    assert "dead-letters" in done.out
    if shutil.which(shell):
        (tmp_path / "script").write_text(done.out)
        subprocess.run([shell, "-n", tmp_path / "script"], check=True)
