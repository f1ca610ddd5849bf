"""Where the checkout and its test certificates are."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CERTIFICATES = ROOT / "tests" / "support" / "certificates"  # of an authority whose key was thrown away


def let_others_in(folder: Path) -> None:
    """Let other users enter a test's folder, and those of pytest that it is in; never what pytest was given."""
    folder.chmod(0o755)
    for parent in folder.parents:
        if not parent.name.startswith(("pytest-", "popen-")):  # the latter are of workers of pytest-xdist
            return
        parent.chmod(0o755)
