"""What a build and a copy of the checkout are made of."""

from __future__ import annotations

import itertools
import re
import subprocess
from pathlib import Path

from support.paths import ROOT

import eventpub
from eventpub.errors import DISTRIBUTION

PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_dependency_has_its_reason_beside_it() -> None:
    listed = re.search(r"^dependencies = \[\n(.*?)^\]", PYPROJECT, re.MULTILINE | re.DOTALL)
    assert listed
    lines = ["", *(line.strip() for line in listed[1].splitlines())]
    assert len(lines) > 5
    for before, line in itertools.pairwise(lines):
        assert "# " in line or before.startswith("# "), line


def test_the_version_is_the_same_everywhere() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[([0-9.]+)\]", changelog, re.MULTILINE)
    assert newest
    assert f'\nversion = "{newest[1]}"\n' in PYPROJECT
    assert newest[1] == eventpub.__version__


def test_what_messages_tell_to_install_is_what_is_built() -> None:
    assert f'\nname = "{DISTRIBUTION}"' in PYPROJECT
    extras = re.search(r"^\[project.optional-dependencies\]\n(.*?)^\[", PYPROJECT, re.MULTILINE | re.DOTALL)
    assert extras
    there = set(re.findall(r"^(\w+) = \[", extras[1], re.MULTILINE))
    folders = (ROOT / name for name in ("eventpub", "sidecar", "collector", "deploy", "docs"))
    files = [*ROOT.glob("*.*"), *(path for folder in folders for path in folder.rglob("*.*"))]
    text = "\n".join(path.read_text() for path in files if path.suffix in {".py", ".md", ".ini", ".toml"})
    told = set(re.findall(rf"(?:suggest_install\(['\"]|{DISTRIBUTION}\[)(\w+)", text))
    assert {"zstd", "rfc9421", "s3"} <= told <= there
    assert re.findall(r"(?<![\w-])eventpub\[\w+\]|install eventpub\b(?!-)", text) == []


def copy_checkout(copy: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "copy", f"COPY={copy}"], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_a_copied_checkout_keeps_what_was_made_in_it_and_nothing_that_the_checkout_has_not(
    tmp_path: Path,
) -> None:
    copy = tmp_path / "copy"
    assert copy_checkout(copy).returncode == 0
    kept = [".venv/installed", "demo-run/sidecar.log", "sidecar/spool/_built.so"]
    gone = ["eventpub/old/module.py", "tests/test_old.py"]
    for name in kept + gone:
        path = copy / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    (copy / "README.md").unlink()
    assert copy_checkout(copy).returncode == 0
    assert [name for name in kept + gone if (copy / name).exists()] == kept
    assert not (copy / "eventpub/old").exists()
    assert (copy / "README.md").read_text(encoding="utf-8") == README


def test_a_folder_that_is_no_copy_of_a_checkout_is_not_made_one(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("")
    done = copy_checkout(tmp_path)
    assert done.returncode != 0
    assert "is not a copy of a checkout; give an empty folder" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]
