"""The arguments and the text that e3-core's handlers take -> those of ours.

What ours cannot do is refused with what to write instead: docs/coming-from-e3-core.md has both, side by side.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from eventpub.errors import HandlerError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_S3_URL = re.compile(r"s3://([^/]+)/?(.*)")


class _Former(NamedTuple):
    names: tuple[str, ...]  # of the arguments, in their order
    text: re.Pattern[str]  # of a configuration, with a group for each argument
    translate: Callable[[dict[str, Any]], dict[str, Any]]


def translate_arguments(handler: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the arguments of our handler for those of e3-core's; None if they are ours already.

    Args:
        handler: the name of our class.
        args: as given.
        kwargs: as given.

    Raises:
        HandlerError: ours has nothing like it.
    """
    former = _FORMER.get(handler)
    if former is None or len(args) > len(former.names):
        return None
    given = {**dict(zip(former.names, args)), **kwargs}  # noqa: B905, there may be fewer
    is_former = len(args) > 1 or not kwargs.keys().isdisjoint(former.names[:1])
    return former.translate(given) if is_former and given.keys() <= set(former.names) else None


def translate_text(handler: str, text: str) -> dict[str, Any] | None:
    """Return the arguments of our handler for a text of e3-core's; None if the text is ours.

    Raises:
        HandlerError: ours has nothing like it.
    """
    former = _FORMER.get(handler)
    match = former.text.fullmatch(text) if former else None
    if former is None or match is None:
        return None
    return former.translate(dict(zip(former.names, match.groups(), strict=True)))


def _to_log(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value != ""}  # an empty name: our default


def _to_smtp(given: dict[str, Any]) -> dict[str, Any]:
    servers = given.get("smtp_servers", "")
    servers = servers.split(",") if isinstance(servers, str) else list(servers)
    if len(servers) != 1:
        reason = "takes one mail server; give a name that has several addresses, which are tried in turn"
        raise HandlerError("SmtpHandler", reason)
    return {
        "server": servers[0],
        "sender": given.get("from_addr"),
        "recipients": given.get("to_addr"),
        "subject": given.get("subject"),
        "tls": "ssl",  # as e3-core's
    }


def _to_s3(given: dict[str, Any]) -> dict[str, Any]:
    events, attachments = (_S3_URL.fullmatch(str(given.get(name))) for name in ("event_s3_url", "log_s3_url"))
    if not events or not attachments or events.groups() != attachments.groups():
        reason = "puts attachments beside their event: give one bucket and prefix, or the same URL twice"
        raise HandlerError("S3Handler", reason)
    bucket, prefix = events.groups()
    arguments = {"bucket": bucket, "encryption": given.get("sse", "AES256"), "profile": given.get("profile")}
    return {**arguments, "prefix": f"{prefix}/" if prefix else "", "profile": given.get("profile") or None}


_FORMER = {
    "LoggingHandler": _Former(("logger_name", "level"), re.compile(r"([^?]*),(\d+)"), _to_log),
    "SmtpHandler": _Former(
        ("subject", "from_addr", "to_addr", "smtp_servers"),
        re.compile(r"([^,?]*),([^,?]*),([^,?]*),([^?]*)"),
        _to_smtp,
    ),
    "S3Handler": _Former(
        ("event_s3_url", "log_s3_url", "sse", "profile"),
        re.compile(r"(s3://[^,]*),([^,]*),([^,]*),(.*)"),
        _to_s3,
    ),
}
