"""How much of the processors a process has used, which does not depend on what else the machine does."""

from __future__ import annotations

import os
from pathlib import Path


def read_cpu_seconds(pid: int) -> float:
    """Return the seconds that a process has run, in itself and in the kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
