"""Distributions with entry points, as they look once they are installed."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path


def install(folder: Path, name: str, code: str, groups: Mapping[str, Mapping[str, str]]) -> None:
    """Make a module and its distribution in a folder, which is to be on the path."""
    (folder / f"{name}.py").write_text(textwrap.dedent(code))
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [
        line
        for group, points in groups.items()
        for line in (f"[{group}]", *(f"{point} = {value}" for point, value in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
