"""`python -m benchmarks [put|sidecar|import] [--quick]`: measure, and print the table."""

from __future__ import annotations

import argparse
import os
import time

from benchmarks import importing, put, sidecar
from benchmarks.machine import FEEDING_CORE, MEASURED_CORE, describe
from benchmarks.report import table

PARTS = {"put": put.rows, "sidecar": sidecar.rows, "import": importing.rows}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure, compared with baseplate."
    )
    parser.add_argument("parts", nargs="*", metavar="put | sidecar | import", help="default: all of them")
    parser.add_argument("--quick", action="store_true", help="one short round: a minute, rough figures")
    options = parser.parse_args()
    if unknown := set(options.parts) - PARTS.keys():
        parser.error(f"no such part: {', '.join(unknown)}")
    baseplate_python = os.environ.get("EVENTPUB_BASEPLATE_PYTHON")
    if not baseplate_python:
        parser.error(
            "EVENTPUB_BASEPLATE_PYTHON must name an interpreter that has baseplate; or run: make bench"
        )
    started = time.monotonic()
    print(f"{describe()}; core {MEASURED_CORE} is measured, core {FEEDING_CORE} feeds it")
    rows = [
        row for part in options.parts or PARTS for row in PARTS[part](baseplate_python, quick=options.quick)
    ]
    print(f"\n{table(rows)}\n\nmeasured in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
