"""Events that are filled while they happen: `eventpub/event/`."""

from __future__ import annotations

import copy
import datetime as dt
import json
import os
import pickle
import threading
import time
import uuid
import weakref
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import eventpub
from eventpub import Event, EventError, EventSerializationError, processing
from eventpub.errors import AttachmentError, EventClosedError, EventFileError
from eventpub.event import unique_id
from eventpub.event.file import fit_for_a_name, write_whole
from eventpub.pipeline import name_of
from eventpub.serialization.serialize import serialize_event, serialize_json_event
from eventpub.serialization.unwritable import strict_values
from eventpub.tracking import snapshot

SHA1_OF_HELLO = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"

RESERVED = {"name", "uid", "begin_time", "end_time", "ctxt", "proc", "self"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
DATA = st.dictionaries(
    st.text(min_size=1, max_size=8).filter(lambda key: key not in RESERVED), JSON, max_size=5
)


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    path = tmp_path / "hello.txt"
    path.write_text("hello")
    return path


# --- data ------------------------------------------------------------------------------------------------


def test_attributes_are_data_in_the_order_they_were_set():
    event = Event("build", uid="u1", project="tea", begin_time=0.0)
    event.result = "passed"
    event.project = "coffee"
    assert (event.name, event.uid, event.project, event.result) == ("build", "u1", "coffee", "passed")
    assert list(event.as_dict()) == ["name", "uid", "begin_time", "end_time", "project", "result"]


def test_an_attribute_that_was_never_set_is_an_attribute_error():
    event = Event("build")
    with pytest.raises(AttributeError, match="'nothing'"):
        _ = event.nothing
    assert getattr(event, "nothing", "default") == "default"
    assert not hasattr(event, "_nothing")


def test_a_piece_of_data_called_like_a_method_is_in_as_dict_and_leaves_the_method_alone(tmp_path: Path):
    event = Event("machine", load=0.5)
    event.close = "by hand"
    assert event.as_dict()["load"] == 0.5
    assert event.as_dict()["close"] == "by hand"
    event.close()
    assert Event.load(event.dump(tmp_path)).as_dict()["load"] == 0.5


def test_what_belongs_to_processing_is_no_data_even_when_it_is_set():
    event = Event("build")
    event.close()
    event.ctxt = {"user": 7}
    assert event.ctxt == {"user": 7}
    with pytest.raises(AttributeError, match="proc"):
        event.proc = 1
    with pytest.raises(TypeError, match="proc is not data"):
        Event("build", proc=3)
    assert event.as_dict().keys() == {"name", "uid", "begin_time", "end_time"}


def test_an_event_is_one_of_processing_with_a_context_that_is_no_data():
    event = Event("build", ctxt={"user": 7})
    assert isinstance(event, processing.Event)
    assert event.ctxt == {"user": 7}
    event.proc.billing.rate = 0.19
    assert event.proc.billing.rate == 0.19
    assert event.as_dict().keys() == {"name", "uid", "begin_time", "end_time"}
    assert name_of(event) == "build"


def test_ids_are_random_uuids():
    ids = {unique_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert {(uuid.UUID(value).version, uuid.UUID(value).variant) for value in ids} == {(4, uuid.RFC_4122)}
    assert all(str(uuid.UUID(value)) == value for value in ids)


def test_times_are_those_of_making_and_closing():
    before = time.time()
    with Event("build") as event:
        assert event.end_time is None
    assert before - 1e-6 <= event.begin_time <= event.end_time <= time.time() + 1e-6


def test_a_subclass_may_have_a_fixed_name_and_arguments_of_its_own(tmp_path: Path):
    class Build(Event):
        def __init__(self, project: str) -> None:
            super().__init__("build", project=project)

    event = Build("tea")
    assert event.as_dict()["project"] == "tea"
    loaded = Build.load(event.dump(tmp_path))
    assert type(loaded) is Build
    assert loaded.project == "tea"


def test_a_repr_tells_name_id_and_state_and_none_of_the_data():
    event = Event("build", uid="u1", password="hunter2")
    assert repr(event) == "<Event 'build' u1, open>"
    event.close()
    assert repr(event) == "<Event 'build' u1, closed>"


# --- closing ---------------------------------------------------------------------------------------------


def test_a_closed_event_refuses_every_change_and_says_so(hello: Path):
    event = Event("build", uid="u1")
    event.close()
    for change in (
        lambda: setattr(event, "x", 1),
        lambda: event.attach_file(hello),
        lambda: event.set_formatter("x", lambda key, value: {key: value}),
    ):
        with pytest.raises(EventClosedError, match=r"'build' \(u1\) is closed") as caught:
            change()
        assert isinstance(caught.value, EventError)
        assert (caught.value.event_name, caught.value.uid) == ("build", "u1")
    assert "x" not in event.as_dict()
    assert event.get_attachments() == {}


def test_closing_again_keeps_the_first_end_time():
    event = Event("build")
    event.close()
    end = event.end_time
    event.close()
    assert event.end_time == end


def test_a_block_that_raises_closes_its_event_and_lets_the_exception_through():
    event = Event("build")
    with pytest.raises(ZeroDivisionError), event:
        raise ZeroDivisionError
    assert event.end_time is not None


# --- formatters ------------------------------------------------------------------------------------------


def test_a_formatter_gives_any_number_of_keys():
    event = Event("build", size=2048, secret="hunter2", kept=1)
    event.set_formatter("size", lambda key, value: {key: value, f"{key}_kib": value / 1024})
    event.set_formatter("secret", lambda _key, _value: {})
    document = event.as_dict()
    assert (document["size"], document["size_kib"], document["kept"]) == (2048, 2.0, 1)
    assert "secret" not in document
    assert event.secret == "hunter2"


def test_times_are_written_as_dates_in_utc_unless_a_formatter_says_otherwise():
    event = Event("build", begin_time=0.5)
    assert event.as_dict()["begin_time"] == "1970-01-01T00:00:00.500000+00:00"
    event.set_formatter("begin_time", lambda key, value: {key: value})
    assert event.as_dict()["begin_time"] == 0.5


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "1970-01-01T00:00:00+00:00"),
        (1e9 + 0.75, "2001-09-09T01:46:40.750000+00:00"),
        (-1.0, "1969-12-31T23:59:59+00:00"),
        ("yesterday", "yesterday"),
        (None, None),
        (True, True),
        (1e300, 1e300),
    ],
)
def test_format_date_writes_timestamps_and_leaves_the_rest(value: Any, written: Any):
    event = Event("build", when=value)
    event.set_formatter("when", event.format_date)
    assert event.as_dict()["when"] == written


def test_data_may_be_set_while_it_is_formatted():
    event = Event("build", size=2048)

    def measured(key: str, value: int) -> dict[str, int]:
        event.measured = True  # as another thread might
        return {key: value}

    event.set_formatter("size", measured)
    assert event.as_dict()["size"] == 2048
    assert event.as_dict()["measured"] is True


# --- attachments -----------------------------------------------------------------------------------------


def test_an_attachment_has_its_absolute_path_and_the_digest_of_its_content(
    hello: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(hello.parent)
    event = Event("build")
    event.attach_file("hello.txt")
    event.attach_file(hello, name="report.txt")
    hello.write_text("changed")
    expected = (str(hello), SHA1_OF_HELLO)
    assert event.get_attachments() == {"log": expected, "report.txt": expected}
    event.get_attachments().clear()
    assert len(event.get_attachments()) == 2


def test_a_name_that_is_taken_is_refused_and_the_first_file_stays(hello: Path, tmp_path: Path):
    other = tmp_path / "other"
    other.write_text("other")
    event = Event("build")
    event.attach_file(hello)
    with pytest.raises(AttachmentError, match=f"{hello} under that name; give another") as caught:
        event.attach_file(other)
    assert (caught.value.attachment, caught.value.path) == ("log", str(other))
    assert event.get_attachments()["log"][0] == str(hello)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path):
    event = Event("build")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path, reason in (
        (tmp_path / "missing", "No such file"),
        (tmp_path, "not a regular file"),
        (fifo, "not a regular file"),
        ("a\0b", "null"),
    ):
        with pytest.raises(AttachmentError, match=reason):
            event.attach_file(path)
    assert event.get_attachments() == {}


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../x", "a\\b", "a\0b", "a\nb", "x" * 201, "\N{EURO SIGN}" * 67, "\ud800"]
)
def test_a_name_that_leads_out_of_a_folder_is_refused(name: str, hello: Path):
    with pytest.raises(AttachmentError, match="plain file name"):
        Event("build").attach_file(hello, name=name)


# --- dump and load ---------------------------------------------------------------------------------------


@given(data=DATA, name=st.text(), uid=st.text(), is_closed=st.booleans())
def test_an_event_that_was_dumped_is_loaded_as_it_was(
    data: dict[str, Any], name: str, uid: str, *, is_closed: bool, tmp_path_factory: pytest.TempPathFactory
):
    folder = tmp_path_factory.mktemp("dumps") / "made" / "by dump"
    event = Event(name, uid, **data)
    if is_closed:
        event.close()
    path = event.dump(folder)
    assert [str(found) for found in folder.iterdir()] == [path]
    loaded = Event.load(path)
    assert loaded.as_dict() == event.as_dict()
    assert (loaded.name, loaded.uid) == (name, uid)
    assert (loaded.begin_time, loaded.end_time) == (event.begin_time, event.end_time)
    assert repr(loaded) == repr(event)


@given(st.floats(min_value=0, max_value=4e9))
def test_any_time_is_loaded_as_the_clock_gave_it(seconds: float):
    event = Event("build", begin_time=round(seconds, 6))
    date = event.as_dict()["begin_time"]
    assert dt.datetime.fromisoformat(date).timestamp() == event.begin_time


def test_formatters_and_substitutes_have_done_their_work_in_a_loaded_event(tmp_path: Path):
    event = Event("build", when=dt.date(2020, 1, 2), size=3, begin_time="yesterday")
    event.set_formatter("size", lambda key, value: {f"{key}_text": str(value)})
    loaded = Event.load(event.dump(tmp_path))
    assert loaded.when == "2020-01-02"
    assert loaded.size_text == "3"
    assert not hasattr(loaded, "size")
    assert loaded.begin_time == "yesterday"
    loaded.size = 4  # it was not closed
    assert loaded.as_dict()["size"] == 4


def leave_out(_key: str, _value: Any) -> dict[str, Any]:
    return {}


@pytest.mark.parametrize("key", ["name", "uid"])
@pytest.mark.parametrize("formatter", [leave_out, lambda key, value: {key: {"was": value}, "title": value}])
def test_a_loaded_event_has_its_name_and_id_whatever_formatters_made_of_them(
    key: str, formatter: Any, tmp_path: Path
):
    event = Event("build", "u1", project="tea")
    event.set_formatter(key, formatter)
    loaded = Event.load(event.dump(tmp_path))
    assert (loaded.name, loaded.uid) == ("build", "u1")
    assert loaded.as_dict() == event.as_dict()
    again = Event.load(pickle.loads(pickle.dumps(loaded)).dump(tmp_path))
    assert repr(again) == repr(event)
    assert again.as_dict() == event.as_dict()


def test_a_name_that_is_no_text_is_loaded_as_json_has_it(tmp_path: Path):
    assert Event.load(Event(5).dump(tmp_path)).name == 5  # type: ignore[arg-type]


def test_attachments_are_loaded_with_paths_and_digests(hello: Path, tmp_path: Path):
    event = Event("build")
    event.attach_file(hello, name="report")
    loaded = Event.load(event.dump(tmp_path))
    assert loaded.get_attachments() == {"report": (str(hello), SHA1_OF_HELLO)}
    with pytest.raises(AttachmentError):
        loaded.attach_file(hello, name="report")


def test_every_dump_is_a_file_of_its_own_whatever_the_id_says(tmp_path: Path):
    event = Event("build", uid="../../up/and away")
    paths = {event.dump(tmp_path) for _ in range(3)}
    assert {Path(path).parent for path in paths} == {tmp_path}
    assert len(paths) == 3
    assert fit_for_a_name("x" * 500 + "/") == "x" * 100
    assert fit_for_a_name(".hidden") == "_hidden"


def test_what_json_cannot_hold_leaves_no_file(tmp_path: Path):
    with strict_values(), pytest.raises(EventSerializationError, match=r"data\.bad"):
        Event("build", bad=object()).dump(tmp_path / "dumps")
    assert not (tmp_path / "dumps").exists()


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(OSError, match="taken"):
        Event("build").dump(tmp_path / "taken")


def test_what_cannot_get_its_name_is_removed(tmp_path: Path):
    (tmp_path / "event.json").mkdir()
    with pytest.raises(OSError, match=r"event\.json"):
        write_whole(tmp_path / "event.json", b"{}")
    assert [path.name for path in tmp_path.iterdir()] == ["event.json"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        (b"\xff", "JSON"),
        (b"{", "JSON"),
        (b"[" * 100_000, "JSON"),
        (b"[]", '"data"'),
        (b'{"data": {"uid": "u"}}', '"name"'),
        (b'{"data": {"name": "n"}}', '"uid"'),
        (b'{"data": {"name": null, "uid": "u"}}', '"name"'),
        (b'{"data": {"name": "n", "uid": "u"}, "attachments": []}', '"attachments"'),
        (b'{"data": {"name": "n", "uid": "u"}, "attachments": {"log": ["/a"]}}', '"attachments"'),
        (b'{"data": {"name": "n", "uid": "u"}, "attachments": {"log": ["/a", 5]}}', '"attachments"'),
        (b'{"data": {"name": "n", "uid": "u"}, "attachments": {"log": "ab"}}', '"attachments"'),
        (b'{"data": {"name": "n", "uid": "u"}, "attachments": {"../log": ["/a", "b"]}}', '"attachments"'),
    ],
)
def test_a_file_that_is_no_dump_is_refused(content: bytes | None, reason: str, tmp_path: Path):
    path = tmp_path / "event.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(EventFileError, match=reason) as caught:
        Event.load(path)
    assert caught.value.path == str(path)


def test_a_dump_that_says_the_least_is_loaded_closed(tmp_path: Path):
    path = tmp_path / "event.json"
    path.write_text('{"data": {"name": "n", "uid": "u"}}')
    event = Event.load(path)
    assert event.as_dict() == {"name": "n", "uid": "u"}
    with pytest.raises(EventClosedError):
        event.x = 1


# --- errors ----------------------------------------------------------------------------------------------


class OwnError(EventError):
    """What somebody who comes from e3-core has."""


@pytest.mark.parametrize("cls", [EventError, OwnError])
def test_an_error_has_a_message_and_an_origin_and_pickles(cls: type[EventError]):
    for error, text in (
        (cls("went wrong"), "went wrong"),
        (cls("went wrong", origin="send"), "send: went wrong"),
        (cls(message=["one", "two"], origin="send"), "send: one\ntwo"),
        (cls("went wrong", "send"), "send: went wrong"),
    ):
        twin = pickle.loads(pickle.dumps(error))
        assert (type(twin), str(twin), twin.origin) == (cls, text, error.origin)
        assert str(error) == text


def test_errors_that_are_made_of_facts_have_no_origin_and_pickle():
    error = AttachmentError("log", "/tmp/log", "why")
    assert error.args == ("log", "/tmp/log", "why")
    assert error.origin is None
    assert str(pickle.loads(pickle.dumps(error))) == str(error) == "attachment 'log', file /tmp/log: why"


# --- copies and pickles ----------------------------------------------------------------------------------


@pytest.mark.parametrize("returned", [None, 7, "text"])
def test_what_a_formatter_returns_in_vain_is_told_with_the_event_and_the_key(returned: Any):
    event = Event("build", size=1)
    event.set_formatter("size", lambda _key, _value: returned)
    with pytest.raises(EventSerializationError, match=r"size is .*the formatter of event 'build' returned"):
        event.as_dict()


def test_events_that_lead_to_each_other_are_copied_so():
    parent, child = Event("parent"), Event("child")
    parent.child, child.parent = child, parent
    parent.proc.family.child = child
    for copied in (copy.deepcopy(parent), snapshot(parent), snapshot({"events": [parent]})["events"][0]):
        assert copied is not parent
        assert copied.child is not child
        assert copied.child.parent is copied
        assert copied.proc.family.child is copied.child
    assert parent.child is child


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda event: pickle.loads(pickle.dumps(event))])
@pytest.mark.parametrize("is_closed", [True, False])
def test_a_copy_is_the_same_event_and_does_not_reach_back(copied: Any, *, is_closed: bool, hello: Path):
    event = Event("build", ctxt=threading.Lock(), project="tea", parts=[1])
    event.attach_file(hello)
    if is_closed:
        event.close()
    twin = copied(event)
    assert type(twin) is Event
    assert twin.as_dict() == event.as_dict()
    assert twin.get_attachments() == event.get_attachments()
    if is_closed:
        with pytest.raises(EventClosedError):
            twin.x = 1
    else:
        twin.x = 1
        twin.attach_file(hello, name="another")
        twin.set_formatter("project", lambda _key, _value: {})
        assert not hasattr(event, "x")
        assert list(event.get_attachments()) == ["log"]
        assert event.as_dict()["project"] == "tea"


def test_a_copy_shares_the_context_and_a_pickle_leaves_it_behind():
    event = Event("build", ctxt=threading.Lock(), parts=[1])
    assert copy.copy(event).ctxt is copy.deepcopy(event).ctxt is event.ctxt
    assert pickle.loads(pickle.dumps(event)).ctxt is None
    event.proc.billing.rates = [1]
    assert copy.copy(event).proc is event.proc
    assert copy.deepcopy(event).proc.billing.rates == [1]
    assert copy.deepcopy(event).proc.billing.rates is not event.proc.billing.rates
    assert not hasattr(pickle.loads(pickle.dumps(event)).proc.billing, "rates")
    assert copy.copy(event).parts is event.parts
    assert copy.deepcopy(event).parts is not event.parts


def test_events_can_be_weakly_referred_to_and_be_keys():
    event = Event("build")
    assert weakref.ref(event)() is event
    assert {event: 1}[event] == 1


# --- on the way ------------------------------------------------------------------------------------------


def test_an_event_is_serialized_as_its_dict():
    event = Event("build", when=dt.date(2020, 1, 2), raw=b"\xff", who=uuid.UUID(int=5))
    event.close()
    assert serialize_event(event) == serialize_json_event(event) == serialize_json_event(event.as_dict())
    assert json.loads(serialize_event(event))["raw"] == "/w=="


def test_an_event_that_cannot_be_serialized_names_the_value():
    with strict_values(), pytest.raises(EventSerializationError, match="bad"):
        serialize_json_event(Event("build", bad=object()))


def test_errors_of_events_pickle():
    for error in (
        EventClosedError("n", "u"),
        AttachmentError("log", "/a", "gone"),
        EventFileError("/a", "why"),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_the_package_exports_events():
    assert eventpub.Event is Event
    assert eventpub.unique_id is unique_id
    assert {"Event", "unique_id", "to_v2_event"} <= set(eventpub.__all__)
    with pytest.raises(AttributeError, match="Evnt"):
        _ = eventpub.Evnt
