"""Build the wheel as a release would, compare it with the tree, install it elsewhere and use it.

A package that pyproject.toml does not list vanishes from a wheel without a word, and a test that runs in the
checkout never notices; this does.
"""

# ruff: noqa: INP001, T201, a program for `make wheel-check`, which prints what it found

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BESIDE_MODULES = (
    "eventpub/collector/page/static/index.html",
    "eventpub/collector/page/static/page.js",
    "eventpub/py.typed",
    "eventpub/schemas/event.thrift",
    "eventpub/schemas/event/ttypes.pyi",
)
COMMANDS = (
    ("bin/eventpub", "--version"),
    ("bin/eventpub", "sidecar", "--help"),
    ("bin/eventpub", "collector", "--help"),
    ("bin/eventpub", "store", "find", "--help"),
    ("bin/eventpub", "dev", "--help"),
    ("bin/python", "-m", "eventpub.sidecar", "--help"),
    ("bin/python", "-m", "eventpub.collector", "--help"),
)
IMPORT_EVERYTHING = """
import importlib, pkgutil, eventpub
names = [module.name for module in pkgutil.walk_packages(eventpub.__path__, "eventpub.")]
waiting = set()  # for a framework, or for the client of an engine: what they need is an extra
for name in names:
    if name.endswith((".__main__", "._loops")):  # the one runs a program, the other is for ctypes
        continue
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name.startswith("eventpub"):
            raise
        waiting.add(error.name.partition(".")[0])
print(len(names), "modules imported from", eventpub.__path__[0], "but for those that need", *sorted(waiting))
assert waiting <= OPTIONAL, waiting - OPTIONAL
"""
OPTIONAL = {
    "asgiref",
    "baseplate",
    "celery",
    "confluent_kafka",
    "django",
    "flask",
    "nats",
    "prometheus_client",
    "psycopg",
    "pyarrow",
    "pyramid",
    "pytest",
    "rich",
    "textual",
}


def main() -> int:
    """Return the exit code: 0, or 1 after saying what is wrong."""
    with tempfile.TemporaryDirectory(prefix="eventpub-wheel-") as folder:
        build(Path(folder))
        (wheel,) = Path(folder).glob("*.whl")
        complaints = compare(set(zipfile.ZipFile(wheel).namelist()))
        if not complaints:
            use(wheel, Path(folder))
    for complaint in complaints:
        print(f"wheel-check: {complaint}", file=sys.stderr)
    print("wheel-check:", "failed" if complaints else f"{wheel.name} is good")
    return bool(complaints)


def build(folder: Path) -> None:
    """Build the source archive, and the wheel out of that, as `pip install` from an index would."""
    print("wheel-check: building", flush=True)
    built = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", folder, ROOT],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if built.returncode:
        sys.stdout.buffer.write(built.stdout)
        raise SystemExit("wheel-check: it cannot be built")


def compare(in_wheel: set[str]) -> list[str]:
    """Return what is wrong with the list of files in the wheel."""
    packed, there = {name for name in in_wheel if name.endswith(".py")}, modules_of_tree()
    complaints = [
        f"{name} is in the tree and not in the wheel; are all packages in pyproject.toml?"
        for name in sorted(there - packed)
    ]
    complaints += [f"{name} is in the wheel and not in the tree" for name in sorted(packed - there)]
    complaints += [f"{name} is missing" for name in BESIDE_MODULES if name not in in_wheel]
    if not any("/_loops." in name and name.endswith(".so") for name in in_wheel):
        complaints.append("the extension _loops is missing; is there a C compiler?")
    return complaints


def modules_of_tree() -> set[str]:
    """Return the modules as the symlinks below eventpub/ show them."""
    return {
        Path(folder, file).relative_to(ROOT).as_posix()
        for folder, _, files in os.walk(ROOT / "eventpub", followlinks=True)
        for file in files
        if file.endswith(".py")
    }


def use(wheel: Path, folder: Path) -> None:
    """Install the wheel in an environment of its own and run it from a folder where no checkout is in reach."""
    print("wheel-check: installing", flush=True)
    environment = folder / "venv"
    venv.create(environment, with_pip=True)
    python = environment / "bin/python"
    run(folder, python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    run(folder, python, "-W", "error", "-c", f"OPTIONAL = {OPTIONAL!r}\n{IMPORT_EVERYTHING}")
    for program, *arguments in COMMANDS:
        print("wheel-check: $", program, *arguments, flush=True)
        run(folder, environment / program, *arguments)


def run(folder: Path, *command: str | Path) -> None:
    """Run a command in `folder`, or end with what it wrote."""
    without_paths = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command,
        cwd=folder,
        env=without_paths,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"wheel-check: failed: {' '.join(map(str, command))}\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    raise SystemExit(main())
