"""What `make test-deploy` needs: root, podman, and an image of Debian to build on."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.needs import lack, need
from support.paths import ROOT

ALONE = ["unshare", "--mount", "--net"]
# crun takes one kind of cgroups, not two at a time; the loopback of a new network is down
PRELUDE = """\
set -eu -o pipefail
umount /sys/fs/cgroup/unified 2> /dev/null || true
mkdir -p /run/netns
mount -t tmpfs none /run/netns
ip link set lo up
trap 'docker rm --all' EXIT
"""


@pytest.fixture(scope="session")
def containers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, Path], str]]:
    """Run a script with `docker` and `kubectl` in a folder and a network of its own; return its output."""
    if os.geteuid():
        lack("root", "run it as root")
    for program, package in (("podman", "podman"), ("crun", "crun"), ("ip", "iproute2")):
        need(program, f"apt-get install {package}")
    folder = tmp_path_factory.mktemp("containers")
    commands = folder / "bin"
    commands.mkdir()
    for name in ("docker", "kubectl"):
        script = commands / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable} -m support.containers.{name} "$@"\n')
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    environment = {
        **os.environ,
        "EVENTPUB_CONTAINERS": str(folder),
        "EVENTPUB_NETWORK": f"/proc/{os.getpid()}/ns/net",
        "PATH": f"{commands}:{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}",
    }

    def run(script: str, where: Path) -> str:
        done = subprocess.run(
            [*ALONE, "bash", "-c", PRELUDE + script],
            cwd=where,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=900,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    base = ROOT / ".venv/debian.tar"  # `make test-deploy` has made it
    if not base.exists():
        lack("an image of Debian", "run make test-deploy")
    tag = "docker.io/library/debian:trixie-slim"
    run(f"docker import {base} {tag}", ROOT)
    yield run
    # overlays that a container left mounted belong to namespaces which are gone by now
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def image(containers: Callable[[str, Path], str]) -> str:
    """The image of deploy/docker."""
    containers("docker build --tag eventpub --file deploy/docker/Dockerfile .", ROOT)
    return "eventpub"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what a checkout has, to follow a page in."""
    for name in (
        "LICENSE",
        "README.md",
        "pyproject.toml",
        "collector",
        "deploy",
        "eventpub",
        "schemas",
        "sidecar",
    ):
        subprocess.run(["cp", "-a", ROOT / name, tmp_path], check=True)
    return tmp_path
