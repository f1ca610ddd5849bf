"""`make fuzz`: every target for some time under atheris, guided by which code its bytes reach.

What it finds is written to `.fuzz/` and printed; once mended it becomes a case of `FOUND` in test_fuzz.py.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys

try:
    import atheris
except ImportError:
    print("skipped: atheris has no wheel for this Python; give PYTHON=python3.11, and a VENV of its own")
    raise SystemExit(0) from None


def main() -> int:
    """Run every target, or the one that is named, each in a process of its own; return an exit code."""
    seconds = os.environ.get("FUZZ_SECONDS") or "60"
    if len(sys.argv) > 1:
        fuzz(sys.argv[1], seconds)  # does not return
    failed = []
    for name in ("spool", "ini", "body", "signature", "answer"):
        print(f"{name}: {seconds} s", flush=True)
        if subprocess.run([sys.executable, "-m", "fuzz", name], check=False).returncode:
            failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "nothing found")
    return 1 if failed else 0


def fuzz(name: str, seconds: str) -> None:
    """Run one target; libFuzzer ends the process."""
    with atheris.instrument_imports(include=["eventpub", "fuzz", "http_message_signatures", "http_sf"]):
        import http_message_signatures  # noqa: F401, PLC0415, or it would be imported later, uninstrumented
        from fuzz.targets import ROOT, SEEDS, TARGETS  # noqa: PLC0415, likewise
    logging.disable()
    corpus = ROOT / ".fuzz" / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS[name]):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = [
        f"-max_total_time={seconds}",
        "-max_len=8192",
        "-timeout=10",
        "-verbosity=0",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], str(corpus), *options, f"-artifact_prefix={corpus}-"], TARGETS[name])
    atheris.Fuzz()


raise SystemExit(main())
