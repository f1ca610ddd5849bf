"""`http`: each event is posted to a collector at once, signed, as a batch of its own (see `eventpub.wire`).

For scripts with few events, or machines without a sidecar: the caller waits for the collector, and nothing is
sent again by itself. An event with an id (`uid`, `uuid`) is stored once, however often it is sent.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Literal

import requests

from eventpub import __version__, wire
from eventpub.errors import HandlerError, suggest_install
from eventpub.pipeline import name_for_log
from eventpub.settings import address, ini
from eventpub.wire import http_signature
from eventpub.wire.signing import Scheme, SigningKey, signed_headers

from . import secret
from .by_version import serialize_as
from .configured import ConfiguredHandler

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

_USER_AGENT = f"eventpub/{__version__}"
_HEADERS = {"Accept": "application/json, text/plain;q=0.5", "Accept-Encoding": "identity"}
_MAX_REASON_BYTES = 500
_SUCCESS = range(200, 300)


@dataclass(frozen=True)
class HttpHandler(ConfiguredHandler):
    """Posts events to a collector; the names are those of the sidecar's INI file.

    Args:
        hostname: host or host:port of the collector.
        key_name: the name of the signing key.
        secret_file: the file with the key in base64; or `secret_variable`, the environment variable with it.
        version: "2" for Thrift events (others are converted by `to_v2_event`), or "2j" for JSON.
        scheme: "https", or "http".
        signature: "x-signature", "rfc9421" or "both".
        ca_file: certificates to trust; default: `$REQUESTS_CA_BUNDLE`, else the public authorities.
        timeout_seconds: for connecting, and for each wait for an answer.
    """

    hostname: str = ini.setting("hostname", address.server())
    _: KW_ONLY
    key_name: str = ini.setting(
        "key_name", ini.text("printable ASCII without blanks and commas", r"[!-+\--~]+")
    )
    secret_file: Path | None = ini.setting("secret_file", ini.path(), default=None)
    secret_variable: str | None = ini.setting("secret_variable", ini.text("a variable's name"), default=None)
    version: Literal["2", "2j"] = ini.setting("version", ini.choice(*wire.VERSIONS), default="2")
    scheme: Literal["https", "http"] = ini.setting("scheme", ini.choice("https", "http"), default="https")
    signature: Scheme = ini.setting(
        "signature", ini.choice("x-signature", "rfc9421", "both"), default="x-signature"
    )
    ca_file: Path | None = ini.setting("ca_file", ini.path(), default=None)
    timeout_seconds: float = ini.setting("timeout_seconds", ini.seconds(0.05, 600), default=10.0)

    def check(self) -> None:
        """Raise HandlerError unless there is one place for the secret, and the package that signs with it."""
        secret.check_secret(type(self).__name__, "secret", self.secret_file, self.secret_variable)
        if self.signature != "x-signature" and not http_signature.INSTALLED:
            reason = f"signature {self.signature} needs a package: {suggest_install('rfc9421')}"
            raise HandlerError(type(self).__name__, reason)

    def send_event(self, event: Any) -> bool:
        """Post an event and return whether the collector accepted it; a refusal is logged."""
        url = f"{self.scheme}://{self.hostname}/v{self.version}"
        body = wire.container(self.version, [serialize_as(self.version, event)])
        headers = _HEADERS | signed_headers(
            self.version,
            body,
            body,
            user_agent=_USER_AGENT,
            batch_id=_hash_body(body) if _has_id(event) else wire.new_batch_id(),
            attempt=1,
            count=1,
            key=self._key(),
            now=time.time(),
        )
        try:
            refusal = self._refusal(url, body, headers)
        except requests.RequestException as error:
            refusal = str(error)
        if refusal:
            logger.error("event %r was not taken by %s: %s", name_for_log(event), url, refusal)
        return not refusal

    def _refusal(self, url: str, body: bytes, headers: dict[str, str]) -> str:
        """Post a request; return the reason if the event was not accepted, else an empty text."""
        with requests.Session() as session:
            session.trust_env = False  # ~/.netrc must not add a password to signed requests
            response = session.post(
                url,
                data=body,
                headers=headers,
                timeout=self.timeout_seconds,
                allow_redirects=False,
                stream=True,
                verify=str(self.ca_file) if self.ca_file else os.environ.get("REQUESTS_CA_BUNDLE") or True,
                proxies=requests.utils.get_environ_proxies(url, no_proxy=None),
            )
            beginning = _read_beginning(response)
            is_page = wire.is_page(response.headers.get("Content-Type", ""), beginning)
            if response.status_code in _SUCCESS and not is_page:
                return ""
            reason = beginning[:_MAX_REASON_BYTES].decode(errors="replace")
            return f"status {response.status_code} {reason!r}"

    def _key(self) -> SigningKey:
        text = secret.read_secret(type(self).__name__, "secret", self.secret_file, self.secret_variable)
        try:
            return SigningKey(self.key_name, ini.base64_bytes().parse(text), self.signature)
        except ValueError:
            raise HandlerError(
                type(self).__name__, "its secret is not base64; use the text in the collector's file"
            ) from None


def _read_beginning(response: requests.Response) -> bytes:
    """Return the beginning of a body, enough to recognise a web page."""
    beginning = b""
    for piece in response.iter_content(wire.PAGE_START_BYTES):  # a piece may be a single byte
        beginning += piece
        if len(beginning) >= wire.PAGE_START_BYTES:
            break
    return beginning


def _has_id(event: Any) -> bool:
    """Return whether an event has an id where `to_v2_event` looks for one, or a `uid`."""
    if not isinstance(event, Mapping):
        ids = [getattr(event, name, None) for name in ("uid", "uuid")]
    else:
        ids = [event.get(name) for name in ("uid", "uuid")]
        parts = [event.get(name) for name in ("data", "context")]
        ids += [
            part.get("uuid") for part in parts if isinstance(part, Mapping)
        ]  # a `uid` there may be a user's id
    return any(id_ not in (None, "") for id_ in ids)


def _hash_body(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:32]  # as long as any batch id
