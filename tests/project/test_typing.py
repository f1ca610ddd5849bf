"""The types that users see: `tests/typing/` is checked as their own code would be."""

from __future__ import annotations

import os
import subprocess
import sys

from support.paths import ROOT


def test_code_of_users_has_the_errors_it_announces_and_no_others():
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file="),
            "--follow-imports=silent",  # what an installed package is treated by
            f"--cache-dir={ROOT / '.mypy_cache' / 'users'}",
            *sorted(map(str, (ROOT / "tests" / "typing").glob("*.py"))),
        ],
        env={**os.environ, "MYPYPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.stdout.startswith("Success: no issues found"), done.stdout + done.stderr
