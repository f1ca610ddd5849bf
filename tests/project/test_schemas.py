"""The event schema and its generated classes: `schemas/`."""

from __future__ import annotations

import ast
import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.thrift_structs import by_thrift

from eventpub.schemas import generate
from eventpub.schemas.event import ttypes
from eventpub.schemas.event.ttypes import App, Device, Event, Experiment, Geo, Referrer, Request, Session, User
from eventpub.serialization.thrift_json import serialize_v2_event as encode
from eventpub.serialization.thrift_json_decode import decode_struct, load_json
from eventpub.serialization.thrift_spec import Type, read_fields

STRUCTS = [User, Request, Device, App, Session, Referrer, Geo, Experiment, Event]

# What has been published: a line here may be added, never changed. Readers of old events rely on it.
PUBLISHED = """
User 1 id str, 2 is_logged_in tf, 3 visitor_id str, 4 created_timestamp i64, 5 roles lst<str>, 6 plan str
User 7 organization_id str
Request 1 id str, 2 method str, 3 host str, 4 path str, 5 route str, 6 status_code i32, 7 duration_ms dbl
Request 8 user_agent str, 9 client_address str, 10 languages lst<str>, 11 trace_id str
Device 1 id str, 2 type str, 3 manufacturer str, 4 model str, 5 os_name str, 6 os_version str
Device 7 browser_name str, 8 browser_version str, 9 screen_width_px i32, 10 screen_height_px i32
Device 11 timezone str
App 1 name str, 2 version str, 3 build str, 4 environment str, 5 platform str, 6 locale str
App 7 install_timestamp i64
Session 1 id str, 2 started_timestamp i64, 3 event_number i32, 4 is_first tf
Referrer 1 url str, 2 domain str, 3 source str, 4 medium str, 5 campaign str, 6 term str, 7 content str
Geo 1 country_code str, 2 region_code str, 3 city str, 4 postal_code str, 5 latitude dbl, 6 longitude dbl
Experiment 1 name str, 2 variant str, 3 version str, 4 is_override tf
Event 1 source str, 2 action str, 3 noun str, 4 client_timestamp i64, 5 uuid str, 6 correlation_id str
Event 7 noun_id str
Event 20 user User, 21 request Request, 22 device Device, 23 app App, 24 session Session, 25 referrer Referrer
Event 26 geo Geo, 27 experiments lst<Experiment>, 50 properties map<str,str>, 51 measurements map<str,dbl>
"""


def described(type_: Type) -> str:
    if type_.key:
        return f"map<{described(type_.key)},{described(type_.element)}>"
    if type_.element:
        return f"{type_.name}<{described(type_.element)}>"
    return type_.struct.__name__ if type_.struct else type_.name


def filled(type_: Type) -> Any:
    """A value of a type with every field of every struct set."""
    if type_.struct:
        return type_.struct(**{field.name: filled(field.type) for field in read_fields(type_.struct)})
    if type_.key:
        return {filled(type_.key): filled(type_.element)}
    if type_.element:
        return [filled(type_.element)] * 2
    return {"str": "text", "tf": True, "dbl": 0.5}.get(type_.name, 7)


def test_published_ids_keep_their_names_and_types() -> None:
    published = set()
    for line in PUBLISHED.strip().splitlines():
        struct, rest = line.split(" ", 1)
        published |= {f"{struct} {entry}" for entry in rest.split(", ")}
    current = {
        f"{cls.__name__} {field.number} {field.name} {described(field.type)}"
        for cls in STRUCTS
        for field in read_fields(cls)
    }
    assert current == published


def test_only_source_action_and_noun_are_required() -> None:
    required = {
        (cls.__name__, field.name) for cls in STRUCTS for field in read_fields(cls) if field.is_required
    }
    assert required == {("Event", "source"), ("Event", "action"), ("Event", "noun")}


def test_ids_stay_in_the_ranges_the_schema_announces() -> None:
    for cls in STRUCTS:
        for field in read_fields(cls):
            assert field.number < 100
    for field in read_fields(Event):
        holds_structs = field.type.name in {"rec", "lst"}
        assert holds_structs == (20 <= field.number <= 49)


def test_every_struct_and_every_field_is_documented() -> None:
    for cls in STRUCTS:
        summary, _, attributes = cls.__doc__.partition("Attributes:")
        assert summary.strip()
        for field in read_fields(cls):
            assert f" - {field.name}: " in attributes, f"{cls.__name__}.{field.name} has no documentation"


def test_the_schema_lists_all_its_structs_here() -> None:
    generated = {cls.__name__ for cls in vars(ttypes).values() if getattr(cls, "thrift_spec", None)}
    assert generated == {cls.__name__ for cls in STRUCTS}


def test_an_event_with_every_field_set_goes_there_and_back() -> None:
    event = filled(Type("rec", struct=Event))
    assert encode(event) == by_thrift(event)
    assert decode_struct(Event, load_json(encode(event))) == event


def test_the_event_of_baseplates_documentation_can_be_made() -> None:
    event = Event(source="baseplate", action="test", noun="baseplate", client_timestamp=1.5e12, uuid="u")
    event.validate()
    assert decode_struct(Event, load_json(encode(event))).client_timestamp == 1_500_000_000_000


def test_a_misspelt_field_is_an_error_at_once() -> None:
    with pytest.raises(TypeError):
        Event(sauce="s")
    with pytest.raises(AttributeError):
        Event().sauce = "s"


def test_type_checkers_are_told_of_every_parameter_in_its_order() -> None:
    stub = ast.parse(Path(ttypes.__file__).with_suffix(".pyi").read_text())
    told = {
        cls.name: [
            argument.arg
            for method in cls.body[-4:]
            for argument in method.args.args
            if method.name == "__init__"
        ]
        for cls in stub.body
        if isinstance(cls, ast.ClassDef)
    }
    assert told == {cls.__name__: list(inspect.signature(cls.__init__).parameters) for cls in STRUCTS}


# --- generating ------------------------------------------------------------------------------------------


@pytest.fixture
def compiler() -> None:
    if shutil.which("thrift") is None or generate.COMPILER_VERSION not in subprocess.check_output(
        ["thrift", "--version"], text=True
    ):
        reason = (
            f"there is no thrift compiler {generate.COMPILER_VERSION} here (apt-get install thrift-compiler)"
        )
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture
def copied_schemas(tmp_path: Path) -> Path:
    """A copy of the schemas package that can be spoilt."""
    folder = tmp_path / "schemas"
    shutil.copytree(Path(generate.__file__).parent, folder)
    return folder


def run(folder: Path, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ if path is None else {**os.environ, "PATH": path}
    command = [sys.executable, str(folder / "generate.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=60)


@pytest.mark.usefixtures("compiler")
def test_the_committed_classes_are_what_the_compiler_makes() -> None:
    assert generate.main(["--check"]) == 0


@pytest.mark.usefixtures("compiler")
def test_a_changed_schema_is_noticed_and_generated(copied_schemas: Path) -> None:
    schema = copied_schemas / "event.thrift"
    schema.write_text(schema.read_text().replace("7: optional string noun_id", "7: optional string thing_id"))
    checked = run(copied_schemas, "--check")
    assert checked.returncode == 1
    assert "ttypes.py is out of date" in checked.stderr
    assert "ttypes.pyi is out of date" in checked.stderr
    assert "thing_id" not in (copied_schemas / "event" / "ttypes.py").read_text()
    assert run(copied_schemas).returncode == 0
    assert "thing_id" in (copied_schemas / "event" / "ttypes.py").read_text()
    assert "thing_id: str | None = None" in (copied_schemas / "event" / "ttypes.pyi").read_text()
    assert run(copied_schemas, "--check").returncode == 0


@pytest.mark.usefixtures("compiler")
def test_classes_that_were_removed_are_generated_again(copied_schemas: Path) -> None:
    before = {path.name: path.read_bytes() for path in (copied_schemas / "event").glob("*.py*")}
    shutil.rmtree(copied_schemas / "event")
    assert run(copied_schemas, "--check").returncode == 1
    assert run(copied_schemas).returncode == 0
    assert {path.name: path.read_bytes() for path in (copied_schemas / "event").glob("*.py*")} == before


@pytest.mark.usefixtures("compiler")
def test_a_schema_the_compiler_does_not_take_is_reported(copied_schemas: Path) -> None:
    (copied_schemas / "event.thrift").write_text("struct {")
    done = run(copied_schemas)
    assert done.returncode == 2
    assert "the thrift compiler failed" in done.stderr


def test_a_missing_compiler_is_reported_with_the_package_that_has_it(
    copied_schemas: Path, tmp_path: Path
) -> None:
    done = run(copied_schemas, path=str(tmp_path))
    assert done.returncode == 2
    assert "thrift-compiler" in done.stderr


def test_another_compiler_version_is_refused(copied_schemas: Path, tmp_path: Path) -> None:
    other = tmp_path / "thrift"
    other.write_text("#!/bin/sh\necho Thrift version 0.1.0\n")
    other.chmod(0o755)
    done = run(copied_schemas, path=str(tmp_path))
    assert done.returncode == 2
    assert "and here is 0.1.0" in done.stderr
