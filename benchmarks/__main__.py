"""`python -m benchmarks [put|sidecar|import|…] [--quick]`: measure, and print the table."""

from __future__ import annotations

import argparse
import os
import time
from typing import TYPE_CHECKING

from benchmarks import collector, engines, guards, handlers, importing, processing, put, sidecar, tracking
from benchmarks.machine import FEEDING_CORE, MEASURED_CORE, describe
from benchmarks.report import table

if TYPE_CHECKING:
    from benchmarks.report import Row

# Variables that name an interpreter which has what a part is measured beside; `make bench` sets them.
BASEPLATE = "EVENTPUB_BASEPLATE_PYTHON"
PEERS = "EVENTPUB_PEERS_PYTHON"  # has what peers-requirements.txt lists

PARTS = {
    "put": (put.rows, BASEPLATE),
    "sidecar": (sidecar.rows, BASEPLATE),
    "import": (importing.rows, BASEPLATE),
    "tracking": (tracking.rows, PEERS),
    "processing": (processing.rows, PEERS),
    "handlers": (handlers.rows, PEERS),
    "guards": (lambda _, *, quick: guards.rows(quick=quick), PEERS),  # nor has this one a peer
    "collector": (lambda _, *, quick: collector.rows(quick=quick), BASEPLATE),  # its yardstick is no peer
    "engines": (lambda _, *, quick: engines.rows(quick=quick), BASEPLATE),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure, compared with baseplate and other peers."
    )
    parser.add_argument("parts", nargs="*", metavar=" | ".join(PARTS), help="default: all of them")
    parser.add_argument("--quick", action="store_true", help="one short round: a minute, rough figures")
    options = parser.parse_args()
    if unknown := set(options.parts) - PARTS.keys():
        parser.error(f"no such part: {', '.join(unknown)}")
    parts = options.parts or PARTS
    if missing := {variable for _, variable in map(PARTS.__getitem__, parts)} - os.environ.keys():
        parser.error(
            f"{' and '.join(sorted(missing))} must name an interpreter that has the peers; or run: make bench"
        )
    started = time.monotonic()
    print(f"{describe()}; core {MEASURED_CORE} is measured, core {FEEDING_CORE} feeds it")
    rows: list[Row] = []
    for measure, variable in map(PARTS.__getitem__, parts):
        rows += measure(os.environ[variable], quick=options.quick)
    print(f"\n{table(rows)}\n\nmeasured in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
