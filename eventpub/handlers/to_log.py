"""`logging`: each event becomes a line of the application's log, with names and SHA-1 of its attachments."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any

from eventpub.event import Event
from eventpub.pipeline import name_of
from eventpub.settings import ini

from .configured import ConfiguredHandler
from .content import json_of


def _level_kind() -> ini.Kind[int]:
    def parse(value: str) -> int:
        level = int(value) if value.isdecimal() else logging.getLevelName(value.upper())
        return int(level)  # logging returns a text for an unknown name

    return ini.Kind(parse, "the name or the number of a level")


@dataclass(frozen=True)
class LoggingHandler(ConfiguredHandler):
    """Logs events as `NAME JSON`.

    Args:
        logger_name: the logger; by default "eventpub.events".
        level: name or number; by default INFO.
    """

    logger_name: str = ini.setting("logger_name", ini.text("the name of a logger"), default="eventpub.events")
    level: int | str = ini.setting("level", _level_kind(), default=logging.INFO)

    def send_event(self, event: Any) -> bool:
        """Log an event."""
        text = json_of(event).decode()
        if isinstance(event, Event) and (attachments := event.get_attachments()):
            text += f" attachments: {json.dumps({name: digest for name, (_, digest) in attachments.items()})}"
        logging.getLogger(self.logger_name).log(int(self.level), "%s %s", name_of(event), text)
        return True
