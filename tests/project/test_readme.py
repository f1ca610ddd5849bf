"""README.md and the pages it leads to: what a newcomer reads is true, and what is copied from them works."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.pages import read_blocks
from support.paths import ROOT
from support.ports import free_port

from eventpub.testing import capture_events

README = (ROOT / "README.md").read_text(encoding="utf-8")
PIPELINE = (ROOT / "docs/pipeline.md").read_text(encoding="utf-8")
GUARANTEES = (ROOT / "docs/guarantees.md").read_text(encoding="utf-8")
PAGES = [path.relative_to(ROOT).as_posix() for folder in (ROOT, ROOT / "docs") for path in folder.glob("*.md")]


def section(title: str) -> str:
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_quick_start_works_as_it_is_written(tmp_path: Path, queue_name: str) -> None:
    port = str(free_port())
    script = "\n".join(read_blocks(section("Quick start"), "sh"))
    count = "sqlite3 events.sqlite 'SELECT count(*) FROM events'"
    for written, here in {
        "8080": port,
        "v2 ": f"{queue_name} ",
        '"v2"': f'"{queue_name}"',
        "publisher:v2]": f"publisher:{queue_name}]",
        "&\nsleep 2\n": "&\n",
        "sleep 2\n": f"for _ in {{1..200}}; do {count} | grep -q 2 && break; sleep 0.1; done\n",
        "collector.scheme": f"spool.dir = {tmp_path}/spool\ncollector.scheme",
        "kill %2 %1": "kill %2 %1; wait",
    }.items():
        assert written in script
        script = script.replace(written, here)
    done = subprocess.run(
        ["bash", "-c", f"set -m\n{script}"],
        cwd=tmp_path,
        env={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    stored = [line.split("|")[:3] for line in done.stdout.splitlines() if line.startswith("shop|")]
    assert stored == [["shop", "buy", "tea"], ["shop", "buy", "coffee"]], done.stdout + done.stderr
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr


def test_the_request_handler_of_the_readme_is_the_one_the_demo_runs() -> None:
    (example,) = read_blocks(README, "python")
    shown = [node for node in ast.parse(example).body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    assert [node.name for node in shown] == ["Context", "buy"]
    for node in shown:
        assert str(ast.get_source_segment(example, node)) in (ROOT / "deploy/demo/app.py").read_text()


def test_python_of_the_readme_runs_on_what_is_public() -> None:
    programs = read_blocks(README, "python") + re.findall(
        r"python - <<'END'\n(.*?)^END$", README, re.MULTILINE | re.DOTALL
    )
    assert len(programs) == 2
    for program in programs:
        *definitions, opening = ast.parse(program).body  # the last line of each opens a queue
        exec(compile(ast.Module(definitions, []), "README.md", "exec"), {})
        assert 'EventQueue("v2", serialize_v2_event)' in ast.unparse(opening).replace("'", '"')
        modules = {node.module for node in definitions if isinstance(node, ast.ImportFrom)}
        assert modules <= {"eventpub", "eventpub.schemas.event.ttypes", "dataclasses"}


def test_the_pipeline_of_the_page_makes_what_it_says() -> None:
    (pipeline,) = read_blocks(PIPELINE, "python")
    namespace: dict[str, Any] = {}
    with capture_events() as captured:
        exec(compile(pipeline, "docs/pipeline.md", "exec"), namespace)
    (event,) = captured.events
    assert (event.source, event.noun, event.action) == ("shop", "tea", "buy")
    assert (event.request.path, event.request.method, event.user.id) == ("/tea", "POST", "u-17")
    assert event.measurements == {"price": 4.5}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page: str) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", (ROOT / page).read_text(encoding="utf-8"))
    made = set(re.findall(r"reference/[\w-]+\.md", (ROOT / "docs/site.py").read_text(encoding="utf-8")))
    assert [
        target
        for target in targets
        if target not in made and not (ROOT / page).parent.joinpath(target).exists()
    ] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_sections(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", text):
        path = (ROOT / page).parent / target if target else ROOT / page
        titles = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert anchor in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_files_that_contributing_names_exist() -> None:
    named = re.findall(
        r"`((?:\w+/)+(?:[\w.]+\.(?:py|ini|md))?)`", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    )
    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_glossary_has_at_most_15_words() -> None:
    words = (
        (ROOT / "CONTRIBUTING.md")
        .read_text(encoding="utf-8")
        .partition("\n## Words\n")[2]
        .partition("\n## ")[0]
    )
    assert 10 <= sum(line.startswith("| ") for line in words.splitlines()) - 1 <= 15


def test_make_targets_of_the_pages_exist_and_help_lists_them() -> None:
    listed = subprocess.check_output(["make", "--no-print-directory"], cwd=ROOT, text=True)
    for page in PAGES:
        for target in re.findall(r"(?:^|`)make ([a-z][a-z-]+)\b", (ROOT / page).read_text(), re.MULTILINE):
            assert f"  make {target} " in listed, f"{page} speaks of make {target}"


def test_tests_that_prove_the_guarantees_exist() -> None:
    rows = [line for line in GUARANTEES.splitlines() if line.startswith("|") and "`test_" in line]
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
    shown = rows(section("Performance"))
    assert len(shown) > 4
    assert [row for row in shown if row not in measured] == []
