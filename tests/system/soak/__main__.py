"""The whole rig for minutes, with everything going wrong at random: `make soak SOAK='--minutes 5'`.

Two queues; two sidecars on one of them and one on the other, sharing a spool folder; producers as processes;
one collector. From a printed seed, misfortunes strike: sidecars are killed, stopped, killed while they
recover, started with hardly any descriptors; the spool's disk is full; the collector is killed, refuses,
hangs, loses or halves its answers; a gateway answers in its place, with pages, with JSON or with nothing, and
refuses what the collector has stored; one sidecar's way to it is cut, flooded or answered by a portal, and each
answer on it is preceded by informational ones; keys are rotated, with care or without; the version of the wire
changes; queues are resized and removed; producers end; among the events are some that the collector cannot
take. Then all is well again, everything drains, and the ledger is drawn up. It exits 0 if every accepted event
is stored, or a dead letter if it was poison, once and unaltered, and nothing else is, not even a dead letter; 1
otherwise, with the command that repeats the misfortunes.
"""

from __future__ import annotations

import argparse
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

from system.soak.rig import Soak


def main() -> int:
    """Run it, print the books; return 0 if they hold."""
    parser = argparse.ArgumentParser(
        description="Run the whole rig with misfortunes at random; draw up the books."
    )
    parser.add_argument("--minutes", type=float, default=5.0, help="for so long (default: 5)")
    parser.add_argument("--kills", type=int, default=0, help="instead, until there were so many kills")
    parser.add_argument("--seed", type=int, default=None, help="repeat these misfortunes")
    options = parser.parse_args()
    seed = secrets.randbelow(2**32) if options.seed is None else options.seed
    much = f"--kills {options.kills}" if options.kills else f"--minutes {options.minutes:g}"
    again = f"make soak SOAK='{much} --seed {seed}'"
    print(again, flush=True)
    folder = Path(tempfile.mkdtemp(prefix="eventpub-soak-"))
    folder.chmod(0o700)
    soak = Soak(folder, seed)
    if soak.disk_refusal:
        print(f"no disk is made full: {soak.disk_refusal}", flush=True)
    is_good = False
    try:
        soak.run(options.minutes * 60, options.kills)
        print("drains …", flush=True)
        soak.drain()
        books = soak.books()
        is_good = books.hold
    finally:
        if not is_good:
            soak.keep_spool()
        soak.close()
    print(
        books, "holds" if books.hold else f"DOES NOT HOLD; see {folder}; again: {again}", sep="\n", flush=True
    )
    if books.hold:
        subprocess.run(["rm", "-rf", folder], check=True)
    return int(not books.hold)


if __name__ == "__main__":
    sys.exit(main())
