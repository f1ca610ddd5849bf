"""A handler for tests, and the ones that come with eventpub."""

from __future__ import annotations

from typing import Any

from eventpub.handlers import EventHandler
from eventpub.handlers.to_file import FileHandler
from eventpub.handlers.to_http import HttpHandler
from eventpub.handlers.to_log import LoggingHandler
from eventpub.handlers.to_queue import QueueHandler
from eventpub.handlers.to_s3 import S3Handler
from eventpub.handlers.to_smtp import SmtpHandler

VARIABLE = "EVENTPUB_TEST_HANDLERS"
OURS = {
    "file": FileHandler,
    "http": HttpHandler,
    "logging": LoggingHandler,
    "queue": QueueHandler,
    "s3": S3Handler,
    "smtp": SmtpHandler,
}


class Answers(EventHandler):
    """Keeps what it is sent, and answers as it is told."""

    def __init__(self, answer: Any = True) -> None:  # noqa: FBT002
        self.answer = answer
        self.events: list[Any] = []

    def send_event(self, event: Any) -> bool:
        self.events.append(event)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer
