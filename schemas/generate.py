"""event.thrift -> event/: run the thrift compiler and keep the package it makes.

`python -m eventpub.schemas.generate` writes `event/` anew; with `--check` it writes nothing and exits with 1 if
`event/` is not what the compiler makes of `event.thrift`. The compiler puts its output into folders for every
part of the namespace; here only the innermost is kept, since the others are this package itself. Beside its
classes `ttypes.pyi` is written, which tells type checkers and editors what the compiler does not say in Python.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType

from eventpub.serialization.thrift_spec import Field, Type, read_fields

COMPILER_VERSION = "0.17.0"  # Debian 12's; others write the same classes with other bytes
GENERATOR = "py:slots"  # what baseplate generates its own classes with

_GENERATE = "eventpub.schemas.generate"
_HERE = Path(__file__).resolve().parent
_SCHEMA = _HERE / "event.thrift"
_PACKAGE = _HERE / "event"
_MODULES = ("__init__.py", "constants.py", "ttypes.py")
_STUB = "ttypes.pyi"
_PYTHON_TYPES = {"tf": "bool", "dbl": "float", "text": "str", "base64": "bytes"}  # else int


class GenerateError(Exception):
    """Why there are no generated modules."""


def generate() -> dict[str, str]:
    """Return the generated modules' text by file name.

    Raises:
        GenerateError: the compiler is missing, is of another version, or does not take the schema.
    """
    version = _run("thrift", "--version").split()[-1]
    if version != COMPILER_VERSION:
        raise GenerateError(f"this needs thrift {COMPILER_VERSION}, and here is {version}")
    with tempfile.TemporaryDirectory() as folder:
        _run("thrift", "-strict", "-out", folder, "--gen", GENERATOR, str(_SCHEMA))
        made = Path(folder, "eventpub", "schemas", "event")
        texts = {name: (made / name).read_text() for name in _MODULES}
    return {**texts, _STUB: _stub(texts["ttypes.py"])}


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code: 0 done, 1 `event/` is out of date, 2 no result."""
    parser = argparse.ArgumentParser(prog="python -m eventpub.schemas.generate", description="Generate event/.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit with 1 if event/ is out of date"
    )
    check = parser.parse_args(arguments).check
    try:
        made = generate()
    except GenerateError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    stale = [name for name in made if _read(_PACKAGE / name) != made[name]]
    for name in stale:
        if check:
            sys.stderr.write(f"{_PACKAGE / name} is out of date; run python -m {_GENERATE}\n")
        else:
            _PACKAGE.mkdir(exist_ok=True)
            (_PACKAGE / name).write_text(made[name])
            sys.stderr.write(f"wrote {_PACKAGE / name}\n")
    return 1 if check and stale else 0


def _stub(source: str) -> str:
    """Return what `ttypes.pyi` says of the classes in the source of `ttypes.py`."""
    module = ModuleType("ttypes")
    exec(compile(source, "ttypes.py", "exec"), vars(module))  # noqa: S102, what the compiler has just written
    classes = [value for value in vars(module).values() if getattr(value, "thrift_spec", None)]
    head = f'"""The types of ttypes.py, written by `python -m {_GENERATE}`."""\n\nfrom typing import Any\n'
    return head + "".join(_class_stub(cls) for cls in classes)


def _class_stub(cls: type) -> str:
    attributes = [f"    {field.name}: {_annotation(field)}" for field in read_fields(cls)]
    defaults = [
        f"        {field.name}: {_annotation(field)} = {'...' if field.is_required else 'None'},"
        for field in read_fields(cls)
    ]
    return "\n".join(
        [
            f"\nclass {cls.__name__}:",
            "    thrift_spec: Any",
            *attributes,
            "    def __init__(",
            "        self,",
            *defaults,
            "    ) -> None: ...",
            "    def read(self, iprot: Any) -> None: ...",
            "    def write(self, oprot: Any) -> None: ...",
            "    def validate(self) -> None: ...",
            "",
        ]
    )


def _annotation(field: Field) -> str:
    return _python_type(field.type) + ("" if field.is_required else " | None")


def _python_type(kind: Type) -> str:
    if kind.struct:
        return str(kind.struct.__name__)
    if kind.key:
        return f"dict[{_python_type(kind.key)}, {_python_type(kind.element)}]"
    if kind.element:
        return f"{'list' if kind.name == 'lst' else 'set'}[{_python_type(kind.element)}]"
    return _PYTHON_TYPES.get(kind.leaf, "int")


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise GenerateError("there is no thrift compiler here: apt-get install thrift-compiler") from error
    if done.returncode:
        raise GenerateError(f"the thrift compiler failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def _read(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


if __name__ == "__main__":
    raise SystemExit(main())
