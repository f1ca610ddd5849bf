"""What a newcomer reads and what a build is made of: both must be true."""

from __future__ import annotations

import ast
import itertools
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.paths import ROOT

import eventpub
from eventpub.errors import DISTRIBUTION
from eventpub.testing import capture_events

PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")


def blocks(language: str) -> list[str]:
    """Return the code blocks of the README."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


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


def test_the_request_handler_of_the_readme_is_the_one_the_demo_runs() -> None:
    example, _ = blocks("python")
    shown = [node for node in ast.parse(example).body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    assert [node.name for node in shown] == ["Context", "buy"]
    for node in shown:
        assert str(ast.get_source_segment(example, node)) in (ROOT / "deploy/demo/app.py").read_text()


def test_python_of_the_readme_runs_on_what_is_public() -> None:
    programs = blocks("python")[:1] + re.findall(
        r"python - <<'END'\n(.*?)^END$", README, re.MULTILINE | re.DOTALL
    )
    assert len(programs) == 2
    for program in programs:
        *definitions, opening = ast.parse(program).body  # the last line of each opens a queue
        exec(compile(ast.Module(definitions, []), "README.md", "exec"), {})
        assert 'EventQueue("v2", serialize_v2_event)' in ast.unparse(opening).replace("'", '"')
        modules = {node.module for node in definitions if isinstance(node, ast.ImportFrom)}
        assert modules <= {"eventpub", "eventpub.schemas.event.ttypes", "dataclasses"}


def test_the_pipeline_of_the_readme_makes_what_it_says() -> None:
    _, pipeline = blocks("python")
    namespace: dict[str, Any] = {}
    with capture_events() as captured:
        exec(compile(pipeline, "README.md", "exec"), namespace)
        namespace["tracker"].emit(
            "shop.tea.buy", {"price": object()}
        )  # JSON on its queue would be a dead letter
    (event,) = captured.events
    assert namespace["queue"].counts.unserializable == 1
    assert (event.source, event.noun, event.action) == ("shop", "tea", "buy")
    assert (event.request.path, event.request.method, event.user.id) == ("/tea", "POST", "u-17")
    assert event.measurements == {"price": 4.5}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page: str) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / page).read_text(encoding="utf-8"))
    assert [target for target in targets if not (ROOT / target).exists()] == []


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
    assert "is no copy of a checkout; give an empty folder" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]


def test_make_targets_of_the_pages_exist_and_help_lists_them() -> None:
    listed = subprocess.check_output(["make", "--no-print-directory"], cwd=ROOT, text=True)
    for page in PAGES:
        for target in re.findall(r"\bmake ([a-z][a-z-]+)\b(?= |`|$)", (ROOT / page).read_text(), re.MULTILINE):
            assert f"  make {target} " in listed, f"{page} speaks of make {target}"


def test_tests_that_the_readme_names_exist() -> None:
    rows = [line for line in README.splitlines() if line.startswith("|") and "`test_" in line]
    assert len(rows) >= 8
    for row in rows:
        file = ""
        for name in re.findall(r"`((?:[\w/]+/)?test_\w+(?:\.py)?)`", row):
            if name.endswith(".py"):
                file = (ROOT / "tests" / name).read_text(encoding="utf-8")
            else:
                assert f"def {name}(" in file, name


def test_figures_of_the_readme_are_those_of_the_benchmarks() -> None:
    def rows(text: str) -> list[list[str]]:
        lines = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| -")]
        return [[cell.strip() for cell in line.split("|")] for line in lines]

    measured = rows((ROOT / "benchmarks/README.md").read_text(encoding="utf-8"))
    shown = rows(README.partition("\n## Performance\n")[2])
    assert len(shown) > 4
    assert [row for row in shown if row not in measured] == []
