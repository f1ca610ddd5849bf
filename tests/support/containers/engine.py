"""Podman with a store of its own; the folder of all it keeps is $EVENTPUB_CONTAINERS."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(os.environ.get("EVENTPUB_CONTAINERS", "/nonexistent"))
READY_SECONDS = 90.0
_LIMITS = ("nofile=1024:1024", "nproc=1024:1024")
_RLIMIT_MSGQUEUE = 12  # asm-generic/resource.h; Python has no name for it


def podman(
    *words: str, check: bool = True, quiet: bool = True, outside: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a command of podman; show what it says only if it fails, unless it is not to be quiet.

    Outside is the network of the test, which packages can be had from.
    """
    store = ["--root", str(FOLDER / "store"), "--runroot", str(FOLDER / "run")]
    network = ["nsenter", f"--net={os.environ['EVENTPUB_NETWORK']}"] if outside else []
    done = subprocess.run(
        [*network, "podman", *store, "--cgroup-manager=cgroupfs", "--events-backend=none", *words],
        env={**os.environ, "CONTAINERS_CONF": str(write_defaults())},
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.PIPE if quiet else None,
        text=True,
        check=False,
    )
    if check and done.returncode:
        print(done.stdout or "", done.stderr or "", file=sys.stderr)
        raise SystemExit(f"podman {' '.join(words)}: exit code {done.returncode}")
    return done


def write_defaults() -> Path:
    """Write podman's settings: limits that any machine grants, since its own are higher than some may set."""
    path = FOLDER / "containers.conf"
    path.write_text(f"[containers]\ndefault_ulimits = {list(_LIMITS)}\n")
    return path


def build(context: Path, dockerfile: Path, tag: str) -> None:
    """Build an image as `docker build` does."""
    if podman("image", "exists", tag, check=False).returncode == 0:
        return  # a test has just built it; Docker would find it in its cache
    podman(
        *("build", "--isolation=chroot", "--network=host", "--layers=false", "--pull=never"),
        *trust_authorities(),
        *("--tag", tag, "--file", str(dockerfile), str(context)),
        outside=True,
    )


def trust_authorities() -> list[str]:
    """Return the options by which pip trusts the authorities that this machine trusts."""
    settings = FOLDER / "pip.conf"
    settings.write_text("[global]\ncert = /run/authorities.crt\n")
    authorities = "/etc/ssl/certs/ca-certificates.crt"
    return [f"--volume={authorities}:/run/authorities.crt:ro", f"--volume={settings}:/etc/pip.conf:ro"]


def ulimit(name: str, value: int) -> list[str]:
    """Return the options for a limit; it is lower than asked for where this machine may not raise it."""
    assert name == "msgqueue"
    hard = resource.getrlimit(_RLIMIT_MSGQUEUE)[1]
    granted = value if hard == resource.RLIM_INFINITY else min(value, hard)
    return [f"--ulimit={each}" for each in (f"{name}={granted}", *_LIMITS)]


def run(name: str, image: str, options: Sequence[str], command: Sequence[str], *, is_job: bool = False) -> None:
    """Start a container; wait for its end if it is a job."""
    mode = ["--rm"] if is_job else ["--detach"]
    podman("run", *mode, "--name", name, "--cgroups=disabled", "--pull=never", *options, image, *command)


def wait_for(container: str, probe: Sequence[str]) -> None:
    """Run a command in a container until it succeeds."""
    deadline = time.monotonic() + READY_SECONDS
    while podman("exec", container, *probe, check=False).returncode:
        if time.monotonic() > deadline:
            podman("logs", container, check=False, quiet=False)
            raise SystemExit(f"{container} is not ready after {READY_SECONDS:g} s: {' '.join(probe)}")
        time.sleep(0.2)


def stop(container: str, seconds: int) -> int:
    """Stop a container as `docker stop` does; return its exit code."""
    podman("stop", "--time", str(seconds), container)
    return int(podman("inspect", "--format", "{{.State.ExitCode}}", container).stdout)
