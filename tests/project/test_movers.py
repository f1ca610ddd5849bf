"""Code of those who move over works as it stands, as far as their pages say so."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from eventpub import EventQueueFullError, EventTooLargeError, handlers, processing
from eventpub.errors import HandlerError
from eventpub.handlers.to_file import FileHandler
from eventpub.handlers.to_log import LoggingHandler
from eventpub.handlers.to_s3 import S3Handler
from eventpub.handlers.to_smtp import SmtpHandler
from eventpub.testing import MemoryQueue
from eventpub.tracking import (
    DateTimeJSONEncoder,
    EventEmissionExit,
    ImproperlyConfigured,
    LoggerBackend,
    MemoryBackend,
    NameAllowlist,
    NameWhitelistProcessor,
    RegexFilter,
    Tracker,
    serialize_log_line,
)

# --- event-tracking --------------------------------------------------------------------------------------


def test_the_whitelist_of_open_edx_settings_is_made_as_there():
    options: dict[str, Any] = {"whitelist": ["a", "b"], "more": 1}
    processor = NameWhitelistProcessor(**options)
    assert processor({"name": "a"}) == {"name": "a"}
    with pytest.raises(EventEmissionExit):
        processor({"name": "c"})


@pytest.mark.parametrize("whitelist", [None, "foobar", 10])
def test_a_whitelist_of_no_names_is_a_type_error_as_there(whitelist: Any):
    with pytest.raises(TypeError, match="The NameWhitelistProcessor must be passed"):
        NameWhitelistProcessor(whitelist)


def test_a_filter_that_cannot_be_built_is_improperly_configured():
    with pytest.raises(ImproperlyConfigured):
        RegexFilter("allowlist", ["("])


@pytest.mark.parametrize("processor", [NameAllowlist(["a", "b"]), RegexFilter("allowlist", ["[ab]$"])])
def test_of_a_list_of_events_those_that_pass_go_on(processor: Any):
    memory = MemoryBackend()
    tracker = Tracker({"memory": memory}, processors=[processor])
    batch = [{"name": name} for name in "abc"]
    tracker.routing_backend.send(batch)
    tracker.routing_backend.send([{"name": "c"}])
    assert memory.events == [[{"name": "a"}, {"name": "b"}]]
    assert len(batch) == 3


def test_lines_of_the_log_can_be_what_they_were(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    east = timezone(timedelta(hours=2))
    event = {"event_type": "é", "at": datetime(2024, 2, 29, 12, tzinfo=east), "then": datetime(2024, 2, 29)}  # noqa: DTZ001
    LoggerBackend(name="old", serialize=serialize_log_line).send(event)
    assert caplog.messages == [
        '{"event_type": "\\u00e9", "at": "2024-02-29T10:00:00+00:00", "then": "2024-02-29T00:00:00+00:00"}'
    ]
    assert json.dumps({"at": event["at"]}, cls=DateTimeJSONEncoder) == '{"at": "2024-02-29T10:00:00+00:00"}'


def test_a_log_may_have_lines_of_any_length(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    Tracker({"log": LoggerBackend(name="any", max_event_size=None)}).emit("long", {"text": "x" * 200_000})
    (line,) = caplog.messages
    assert len(line) > 200_000


# --- e3-core ---------------------------------------------------------------------------------------------


def test_a_file_handler_takes_its_old_argument_in_every_way(tmp_path: Path):
    manager = handlers.EventManager()
    manager.add_handler("file", log_dir=str(tmp_path))
    assert manager.handlers["file"] == FileHandler(tmp_path) == FileHandler(log_dir=str(tmp_path))
    with pytest.raises(HandlerError, match="folder is missing"):
        manager.add_handler("file")


def test_the_name_of_an_events_file_has_its_uid(tmp_path: Path):
    FileHandler(tmp_path).send_event(handlers.Event("build", uid="u-17"))
    assert [path.name.startswith("build-u-17-") for path in tmp_path.iterdir()] == [True]


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        ("logging=builds,10", LoggingHandler("builds", logging.DEBUG)),
        ("logging=a.b,30", LoggingHandler("a.b", logging.WARNING)),
        ("logging=,20", LoggingHandler(level=logging.INFO)),
        ("file=/var/log/events", FileHandler("/var/log/events")),
        ("s3=s3://bucket/ci,s3://bucket/ci,AES256,", S3Handler("bucket", prefix="ci/", encryption="AES256")),
        (
            "smtp=Build,ci@example.com,dev@example.com,mail.example.com",
            SmtpHandler(
                "mail.example.com",
                sender="ci@example.com",
                recipients="dev@example.com",
                subject="Build",
                tls="ssl",
            ),
        ),
    ],
)
def test_a_variable_that_e3_wrote_is_understood(variable: str, expected: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("E3_EVENT_HANDLERS", variable)
    manager = handlers.EventManager()
    manager.load_handlers_from_env("E3_EVENT_HANDLERS")
    assert list(manager.handlers.values()) == [expected]
    manager.handler_config_as_env("OURS")
    again = handlers.EventManager()
    again.load_handlers_from_env("OURS")
    assert again.handlers == manager.handlers
    monkeypatch.delenv("OURS", raising=False)


def test_arguments_of_mail_and_buckets_are_taken_in_the_old_order_and_by_their_old_names():
    manager = handlers.EventManager()
    manager.add_handler("smtp", "Build", "ci@example.com", "a@example.com,b@example.com", ["mail.example.com"])
    mail = manager.handlers["smtp"]
    assert isinstance(mail, SmtpHandler)
    assert (mail.server, mail.recipients, mail.tls) == (
        "mail.example.com",
        ("a@example.com", "b@example.com"),
        "ssl",
    )
    manager.add_handler("s3", event_s3_url="s3://events", log_s3_url="s3://events", profile="ci")
    assert manager.handlers["s3"] == S3Handler("events", encryption="AES256", profile="ci")


@pytest.mark.parametrize(
    ("name", "args", "reason"),
    [
        ("smtp", ("Build", "ci@example.com", "a@example.com", ["one", "two"]), "takes one mail server"),
        ("s3", ("s3://events", "s3://logs"), "the same URL twice"),
        ("s3", ("s3://events/a", "https://events/a"), "the same URL twice"),
    ],
)
def test_an_old_form_that_cannot_be_taken_says_what_to_write(name: str, args: Any, reason: str):
    with pytest.raises(HandlerError, match=reason):
        handlers.EventManager().add_handler(name, *args)


def test_a_bucket_without_boto3_is_refused_when_the_handler_is_made(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "boto3", None)
    with pytest.raises(HandlerError, match=r"boto3 is not installed: pip install"):
        handlers.EventManager().add_handler("s3", "events")


# --- baseplate -------------------------------------------------------------------------------------------


def test_errors_can_be_made_as_tests_of_applications_make_them():
    put = mock.Mock(side_effect=EventQueueFullError)
    with pytest.raises(EventQueueFullError, match="is full"):
        put()
    assert EventTooLargeError(200_000).size_bytes == 200_000


# --- EvProc ----------------------------------------------------------------------------------------------


def test_errors_of_evproc_have_their_old_names_too():
    processor = processing.Processor[Any]()
    processor.register(processing.requires("b")(lambda *_: None), "a")
    with pytest.raises(processing.IncompatibleRequirementsException):
        processor.process({"name": "x"})
    with pytest.raises(processing.ProcessorReregisterException):
        processor.register(lambda *_: None, "a")
    assert issubclass(processing.IncompatibleRequirementsException, processing.EventException)
    assert not issubclass(processing.StopProcessing, processing.EventException)


def test_an_entry_point_that_ends_the_process_is_an_error_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "ends_of_a_test.py").write_text("raise SystemExit('bye')")
    info = tmp_path / "ends_of_a_test-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ends-of-a-test\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[handlers.of.a.test]\nends = ends_of_a_test:handle\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(processing.HandlerLoadError, match="SystemExit: bye"):
        processing.Processor[Any]().load_from("handlers.of.a.test")


# --- a promise that subclasses do not keep ---------------------------------------------------------------


def test_a_memory_queue_keeps_the_very_events_that_were_put():
    queue = MemoryQueue[Any]()
    event = {"name": "a"}
    queue.send(event)
    assert queue.events[0] is event
