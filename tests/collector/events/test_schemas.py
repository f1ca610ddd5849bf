"""`[schemas]` names the struct class of each key, or says at the start why it cannot be used."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from support.thrift_structs import compiled

from eventpub import serialize_v2_event, wire
from eventpub.collector.config import load_config
from eventpub.collector.events import EventReader, Limits, Schemas
from eventpub.collector.responses import RefusedError
from eventpub.errors import ConfigError

KEYS = "[collector]\n[keys]\nshop = aHVudGVyMg==\nother = aHVudGVyMg==\n"


@pytest.fixture
def tea(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    made = compiled("struct Tea { 1: required string noun, 2: i32 grams }", "py:slots", tmp_path)
    monkeypatch.setitem(sys.modules, "tea_ttypes", made)
    return made


def events(schemas: Schemas, key_name: str, *texts: bytes) -> list[str]:
    body = wire.container("2", list(texts))
    return [row.event for row in EventReader(schemas, Limits(10_000), 100).read(key_name, "2", body, "").rows]


def test_each_key_has_its_own_schema_and_the_others_have_the_default(tea: Any) -> None:
    schemas = Schemas({"shop": "tea_ttypes:Tea", "raw": "any"})
    text = serialize_v2_event(tea.Tea(noun="oolong", grams=50))
    assert events(schemas, "shop", text) == ['{"noun":"oolong","grams":50}']
    assert events(schemas, "raw", text) == [text.decode()]
    with pytest.raises(
        RefusedError
    ) as raised:  # as a struct of schemas/event.thrift it lacks what that requires
        events(schemas, "other", text)
    assert raised.value.response.fields["rejected"][0]["reason"].startswith("action:")


def test_the_default_can_be_another(tea: Any) -> None:
    schemas = Schemas({"default": "tea_ttypes:Tea"})
    assert events(schemas, "anything", serialize_v2_event(tea.Tea(noun="x"))) == ['{"noun":"x"}']


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        (b'{"1":{"str":"a"},"7":{"dbl":1.10}}', '{"1":{"str":"a"},"7":{"dbl":1.10}}'),
        (b'{ "1":{"str":"a"} }', '{ "1":{"str":"a"} }'),
        (
            b'{"1":{"dbl":1e400},"1":{"i64":123456789012345678901}}',
            '{"1":{"dbl":1e400},"1":{"i64":123456789012345678901}}',
        ),
        (b'{"1":{"dbl":nan}}', '{"1":{"dbl":"NaN"}}'),
        (b'{"1":{"str":"\x01"}}', '{"1":{"str":"\\u0001"}}'),
    ],
)
def test_under_any_the_thrift_json_is_stored_as_it_came_or_as_the_json_that_it_means(
    text: bytes, stored: str
) -> None:
    assert events(Schemas({"raw": "any"}), "raw", text) == [stored]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"5", "event: expected an object, not 5"),
        (b'{"1":{"str":"\\ud800"}}', "surrogate"),
    ],
)
def test_under_any_what_is_no_object_that_can_be_stored_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(RefusedError) as raised:
        events(Schemas({"raw": "any"}), "raw", text)
    assert reason in raised.value.response.fields["rejected"][0]["reason"]


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ("", "expected package.module:Class, or any"),
        ("Event", "expected package.module:Class, or any"),
        ("shop.ttypes:", "expected package.module:Class, or any"),
        (":Event", "expected package.module:Class, or any"),
        ("no_such_package.ttypes:Event", "cannot be imported: ModuleNotFoundError"),
        ("eventpub.schemas.event.ttypes:Evnt", "cannot be imported: AttributeError"),
        ("json:JSONDecoder", "is not a struct class that the thrift compiler wrote"),
        ("json:loads", "is not a struct class that the thrift compiler wrote"),
        ("..x:Event", "cannot be imported"),
    ],
)
def test_a_schema_that_cannot_be_used_stops_the_start_with_the_reason(
    tmp_path: Path, schema: str, reason: str
) -> None:
    path = tmp_path / "collector.ini"
    path.write_text(f"{KEYS}[schemas]\nshop = {schema}\n")
    with pytest.raises(ConfigError) as raised:
        load_config(path)
    assert (raised.value.section, raised.value.key) == ("schemas", "shop")
    assert reason in str(raised.value)


def test_a_module_that_breaks_while_it_is_imported_stops_the_start_with_its_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_ttypes.py").write_text("raise SystemExit('half')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match="SystemExit: half"):
        Schemas({"default": "broken_ttypes:Event"})


def test_a_schema_for_a_key_that_there_is_not_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "collector.ini"
    path.write_text(f"{KEYS}[schemas]\nshopp = any\n")
    with pytest.raises(ConfigError, match=r"expected default, or a name of \[keys\]: other, shop"):
        load_config(path)
