"""What somebody who sends events through handlers writes, as their type checker sees it; never run."""

from __future__ import annotations

from typing import Any

from eventpub import Event, EventQueue, handlers, to_v2_event, unique_id
from eventpub.handlers import EventHandler, EventManager
from eventpub.schemas.event.ttypes import Event as V2Event


class Chat(EventHandler):
    def __init__(self, room: str) -> None:
        self.room = room

    def send_event(self, event: Any) -> bool:
        return bool(event)

    @classmethod
    def decode_config(cls, config_str: str) -> dict[str, Any]:
        return {"room": config_str}

    def encode_config(self) -> str:
        return self.room


def send(manager: EventManager, queue: EventQueue[Any]) -> bool:
    with Event("build", unique_id(), project="tea") as event:
        event.result = "passed"
        event.attach_file("build.log")
        event.set_formatter("size", lambda key, value: {key: str(value)})
    name: str = event.name
    seconds: float = event.begin_time
    paths: list[str] = [path for path, _digest in event.get_attachments().values()]
    queue.put(event)
    manager.add_handler("file", "events")
    manager.add_handler(name="file", folder="events")
    manager.register("chat", Chat(name))
    loaded: Event = Event.load(event.dump("events"))
    v2: V2Event = to_v2_event({"name": name, "data": {"paths": paths, "seconds": seconds}})
    return handlers.send_event(loaded) and manager.send(v2)


def mistakes(manager: EventManager) -> None:
    Event()  # type: ignore[call-arg]
    Event("build").attach_file(5)  # type: ignore[arg-type]
    manager.add_handler(5)  # type: ignore[call-overload]
    manager.add_handler()  # type: ignore[call-overload]
    EventHandler()  # type: ignore[abstract]
    Event("build").set_formatter("size", 5)  # type: ignore[arg-type]
