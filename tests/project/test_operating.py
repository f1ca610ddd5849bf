"""docs/operating.md: what an operator copies from it works."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support.pages import read_blocks
from support.paths import ROOT

from eventpub.cli import exit_codes
from eventpub.cli.exit_codes import EXIT_USAGE
from eventpub.sidecar.telemetry.reasons import DropReason

PAGE = (ROOT / "docs/operating.md").read_text(encoding="utf-8")
COMMANDS = sorted(
    set(
        re.findall(
            r"^eventpub [^#\n]*[^#\s]",
            "".join(read_blocks(PAGE, "sh")),
            re.MULTILINE,
        )
    )
)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_line_takes_what_the_page_says(command: str, queue_name: str, tmp_path: Path) -> None:
    here = {"v2": queue_name, "/etc/eventpub/v2.ini": str(tmp_path / "none.ini")}
    words = [here.get(word, word) for word in shlex.split(command)[1:]]
    done = subprocess.run(
        [sys.executable, "-m", "eventpub", *words], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode != EXIT_USAGE, done.stderr
    assert "Traceback" not in done.stderr


def test_every_reason_for_a_loss_is_explained() -> None:
    reasons = {f"dropped.{reason.value}" for reason in DropReason if reason is not DropReason.REPORT}
    assert reasons <= set(re.findall(r"`(dropped\.\w+)`", PAGE))


def test_sections_that_the_page_points_to_are_there() -> None:
    titles = {
        re.sub(r"[^a-z -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    }
    assert set(re.findall(r"\(#([^)]*)\)", PAGE)) <= titles


def test_the_table_of_exit_codes_has_all_of_them() -> None:
    listed = {int(code) for code in re.findall(r"^\| (\d+) +\|", PAGE, re.MULTILINE)}
    assert listed == {code for name, code in vars(exit_codes).items() if name.startswith("EXIT_")}
