"""Who may import whom, and that a build holds what the tree holds."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.paths import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:  # it comes with pytest there
    import tomli as tomllib

FOLDERS = {
    "eventpub": ROOT / "eventpub",
    "eventpub.sidecar": ROOT / "sidecar",
    "eventpub.collector": ROOT / "collector",
}
OURS = ("sidecar", "collector", "schemas")
OPTIONAL = {
    "baseplate",
    "nats",
    "confluent_kafka",
    "psycopg",
    "pyarrow",
}  # not in every environment of the tests


def modules(folder: Path) -> list[Path]:
    """The files of a package and of what lies in it, without the other packages that are linked into it."""
    links = {folder / name for name in OURS if (folder / name).is_symlink()}
    return sorted(path for path in folder.rglob("*.py") if not links & set(path.parents))


def name_of(path: Path) -> str:
    """The name a module is imported by."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    inside = parts if parts[0] == "eventpub" else ("eventpub", *parts)
    return ".".join(inside).removesuffix(".__init__")


MODULES = {name_of(path): path for folder in FOLDERS.values() for path in modules(folder)}
PACKAGES = {name for name, path in MODULES.items() if path.name == "__init__.py"}
GROUND_FLOOR = {"__init__", "__main__", "pipeline", "errors", "ambient", "printable", "pytest_plugin"}


@functools.cache
def parse_imports(path: Path) -> list[ast.Import | ast.ImportFrom]:
    """The imports of a file, wherever they stand."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return [node for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom))]


def statements(path: Path) -> Iterator[tuple[str, ast.ImportFrom]]:
    """The `from … import …` of a file, each with the absolute name it is from."""
    here = name_of(path) if path.name == "__init__.py" else name_of(path).rpartition(".")[0]
    for node in parse_imports(path):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            yield ".".join(filter(None, (here, module))) if node.level else module, node


def imported(path: Path) -> Iterator[str]:
    """The names a file imports; `from a import b` counts as a and as a.b."""
    for node in parse_imports(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
    for module, node in statements(path):
        assert node.level <= 1, f"{path}: relative imports stay inside a folder"
        yield module
        yield from (f"{module}.{alias.name}" for alias in node.names)


def is_of(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


@pytest.mark.parametrize(
    ("importer", "taboo"),
    [
        ("eventpub", "eventpub.sidecar"),
        ("eventpub", "eventpub.collector"),
        ("eventpub.sidecar", "eventpub.collector"),
        ("eventpub.collector", "eventpub.sidecar"),
    ],
)
def test_dependencies_point_one_way(importer: str, taboo: str):
    files = modules(FOLDERS[importer])
    assert files
    assert not [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files
        for name in imported(path)
        if is_of(name, taboo)
    ]


def test_only_one_module_imports_posix_ipc():
    importers = {
        str(path.relative_to(ROOT))
        for folder in FOLDERS.values()
        for path in modules(folder)
        if "posix_ipc" in imported(path)
    }
    assert importers == {"eventpub/queue/posix.py"}


def test_no_module_is_imported_under_a_second_name():
    names = [
        name_of(path) for folder in FOLDERS.values() for path in modules(folder) if path.name != "__main__.py"
    ]
    program = f"""
import importlib, sys
for name in {names}:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in {OPTIONAL}:
            raise
print(*[name for name in sys.modules if name.split(".")[0] in {OURS}])
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore:pkg_resources", "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("\n", "")


def test_the_packages_of_a_build_are_those_of_the_tree():
    files = [path for folder in (*FOLDERS.values(), ROOT / "schemas") for path in modules(folder)]
    packages = {name_of(path) for path in files if path.name == "__init__.py"}
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    assert sorted(settings["packages"]) == sorted(packages)


@pytest.mark.parametrize("name", OURS)
def test_a_checkout_finds_the_top_level_packages_by_relative_links(name: str):
    link = ROOT / "eventpub" / name
    if not link.is_symlink():
        pytest.skip("an unpacked archive has no links; it is to be installed")
    assert link.readlink() == Path("..") / name


def arrows(name: str) -> set[str]:
    """The modules of ours that a module imports; from a folder's `__init__` counts as that folder."""
    found = set()
    for module, node in statements(MODULES[name]):
        for alias in node.names:
            inner = f"{module}.{alias.name}"
            found.add(inner if inner in MODULES else module)
    return (found & MODULES.keys()) - {name}


def room_of(name: str) -> str:
    """A folder, or the module itself where it stands on the ground floor of a program."""
    folder = name if name in PACKAGES else name.rpartition(".")[0]
    return name if folder in FOLDERS else folder


def find_circle(graph: dict[str, set[str]]) -> list[str]:
    """One circle of a graph, or nothing."""
    done: set[str] = set()

    def walk(node: str, way: list[str]) -> list[str]:
        if node in way:
            return [*way[way.index(node) :], node]
        if node in done:
            return []
        done.add(node)
        ways = (walk(following, [*way, node]) for following in sorted(graph.get(node, ())))
        return next(filter(None, ways), [])

    return next(filter(None, (walk(node, []) for node in sorted(graph))), [])


def test_a_circle_is_found():
    assert find_circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert find_circle({"a": {"b", "c"}, "b": {"c"}}) == []


def test_no_files_import_each_other_in_a_circle():
    assert find_circle({name: arrows(name) for name in MODULES}) == []


def test_no_folders_import_each_other_in_a_circle():
    graph: dict[str, set[str]] = {}
    for name in MODULES:
        rooms = {room_of(target) for target in arrows(name)} - {room_of(name)}
        graph.setdefault(room_of(name), set()).update(rooms)
    assert find_circle(graph) == []


def test_only_what_everybody_shares_stands_on_the_ground_floor_of_the_library():
    assert {path.stem for path in (ROOT / "eventpub").glob("*.py")} <= GROUND_FLOOR


def test_errors_stand_in_an_errors_py():
    """Those under EventPubError; an exception that never leaves its module may stand in it."""
    errors = {"EventPubError"}
    nodes = [
        (path, node)
        for path in MODULES.values()
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
    ]
    while found := {n.name for _, n in nodes if errors & {ast.unparse(base) for base in n.bases}} - errors:
        errors |= found
    assert {"SpoolError", "DecodeError", "FilterError"} <= errors
    elsewhere = {
        f"{path.relative_to(ROOT)}: {n.name}" for path, n in nodes if n.name in errors and path.stem != "errors"
    }
    assert elsewhere == set()


def test_imports_are_relative_inside_a_folder_and_absolute_across_folders():
    wrong = []
    for name, path in MODULES.items():
        here = name if name in PACKAGES else name.rpartition(".")[0]
        for module, node in statements(path):
            targets = {inner for alias in node.names if (inner := f"{module}.{alias.name}") in MODULES}
            targets = targets or {module}
            inside = {target for target in targets - PACKAGES if target.rpartition(".")[0] == here}
            if bool(node.level) != bool(inside) and module != here:
                wrong.append(f"{path.relative_to(ROOT)}: {ast.unparse(node)}")
    assert wrong == []
