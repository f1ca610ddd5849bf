"""Mounts that only one process and its children see."""

from __future__ import annotations

import os
import subprocess

import pytest


def seeing(script: str) -> list[str]:
    """Return the words before a command that have it see what `script`, of the shell, mounts.

    Skips the test where that is not allowed; in continuous integration, as root, it must be.
    """
    if why := _why_no_mount():
        if os.environ.get("CI") and os.geteuid() == 0:
            pytest.fail(f"continuous integration must be able to mount: {why}")
        pytest.skip(f"cannot mount a file system: {why}")
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", f'{script} && exec "$@"', "sh"]


def _why_no_mount() -> str:
    """Return why this process can mount nothing, not even in a namespace of its own; empty if it can."""
    command = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    try:
        tried = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        return str(error)
    return tried.stderr.strip() if tried.returncode else ""
