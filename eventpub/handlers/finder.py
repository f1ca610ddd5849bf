"""The name of a handler -> its class, through the entry points of all installed packages."""

from __future__ import annotations

from importlib.metadata import entry_points

from eventpub.errors import DISTRIBUTION, HandlerError
from eventpub.settings.did_you_mean import did_you_mean

from .handler import EventHandler

GROUP = "eventpub.handlers"
_OURS = "eventpub.handlers."


def find_handler(name: str) -> type[EventHandler]:
    """Return the class that the entry point `name` refers to.

    Raises:
        HandlerError: there is none, several packages have one, or it is not a handler; the reason lists the
            installed handlers.
    """
    points = entry_points(group=GROUP)
    found = {point.value: point for point in points if point.name == name}
    if not found:
        there = sorted({point.name for point in points})
        listed = ", ".join(there) or f"none; reinstall {DISTRIBUTION}"
        raise HandlerError(name, f"there is no such handler{did_you_mean(name, there)} (installed: {listed})")
    if ours := {value: point for value, point in found.items() if value.startswith(_OURS)}:
        found = ours  # a package that takes a name of ours for its own must not break it
    if len(found) > 1:
        raise HandlerError(
            name, f"several packages have one: {', '.join(sorted(found))}; uninstall all but one"
        )
    ((value, point),) = found.items()
    try:
        cls = point.load()
    except (Exception, SystemExit) as error:  # third-party code
        raise HandlerError(name, f"{value} cannot be loaded: {error}") from error
    if not isinstance(cls, type) or not issubclass(cls, EventHandler):
        raise HandlerError(name, f"{value} is not a subclass of eventpub.handlers.EventHandler")
    return cls
