"""The collector as a WSGI application: takes a request through the stages and answers with the outcome."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import re
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

import eventpub
from eventpub import wire
from eventpub.collector.events import EventReader, Limits
from eventpub.collector.events.unknown import UnknownFieldsLog
from eventpub.collector.http.access_log import find_client
from eventpub.collector.store import IncomingBatch, Outcome
from eventpub.collector.telemetry.counts import Counts
from eventpub.collector.telemetry.refused import RefusedLog

from .intake import Intake
from .receipts import answer_receipt, answer_unavailable
from .responses import FACTS, QUIET, RefusedError, Response, refuse
from .signatures import claimed_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from eventpub.collector.page.feed import Feed
    from eventpub.collector.store import Store

    from .config import Config
    from .intake import SignedBody

logger = logging.getLogger(__name__)

_BATCH_ID = re.compile(r"[\x21-\x7e]{1,128}")
_NUMBER = re.compile(r"[0-9]{1,9}")
_MAX_PARENTS = 64  # twice what a sidecar names
_VERSION_BY_PATH = {f"/v{version}": version for version in wire.VERSIONS}


def _environ_key(header: str) -> str:
    return "HTTP_" + header.upper().replace("-", "_")


_IDEMPOTENCY = _environ_key(wire.IDEMPOTENCY_HEADER)
_PARENT = _environ_key(wire.PARENT_HEADER)
_ATTEMPT = _environ_key(wire.ATTEMPT_HEADER)
_COUNT = _environ_key(wire.COUNT_HEADER)
_ALLOWED = {"POST": "POST, OPTIONS", "GET": "GET, HEAD, OPTIONS"}


class Application:
    """The WSGI callable.

    Args:
        config: keys and limits.
        store: where batches go.
        clock: the time of day, in seconds since 1970.
        feed: is told what becomes of each batch, for those who watch; None where there is no page.
        counts: counts what happens; default: for nobody.

    Attributes:
        refused: the log of requests that are answered with 401.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        clock: Callable[[], float] = time.time,
        feed: Feed | None = None,
        counts: Counts | None = None,
    ) -> None:
        settings = self._settings = config.settings
        self._reader = EventReader(
            config.schemas, Limits(settings.max_event_bytes, settings.schema_strict), settings.max_events
        )
        self._unknown = UnknownFieldsLog()
        self.refused = RefusedLog()
        self._counts = counts or Counts()
        self._intake = Intake(settings, config.secrets, clock)
        self._store = store
        self._clock = clock
        self._feed = feed

    def use_keys(self, secrets: Mapping[str, tuple[bytes, ...]]) -> None:
        """Accept requests that are signed with one of these secrets, from the next one on."""
        self._intake.use_keys(secrets)

    def close(self) -> None:
        """End what requests left running; none may come any more."""
        self._intake.close()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        facts = environ.setdefault(FACTS, {})
        try:
            answer = self._route(environ)
        except Exception:
            logger.exception("request failed path=%r", environ["PATH_INFO"])
            answer = refuse(500, "internal_error", "the collector failed on this request; see its log")
        if "error" in answer.fields:
            facts["error"] = answer.fields["error"]
            if environ["PATH_INFO"] in _VERSION_BY_PATH and environ["REQUEST_METHOD"] == "POST":
                self._count_refusal(answer, environ)
            logger.debug("refused status=%d reason=%r", answer.status, answer.fields["reason"])
        body = answer.body()
        start_response(answer.status_line, answer.all_headers(body))
        return [body]

    def _count_refusal(self, answer: Response, environ: WSGIEnvironment) -> None:
        """Count the events that an answer of 4xx names, or that the sender says it sent."""
        if answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            announced = environ.get(_COUNT, "")
            number = int(announced) if _NUMBER.fullmatch(announced) else 1
            events = answer.fields.get("rejected_count", min(number, self._settings.max_events))
            self._counts.refused(str(answer.fields["error"]), int(str(events)))

    @property
    def pending_bytes(self) -> int:
        """Return how many bytes are unpacked and not answered yet."""
        return self._intake.pending_bytes

    def _route(self, environ: WSGIEnvironment) -> Response:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if path in _VERSION_BY_PATH:
            if method == "POST":
                return self._take(_VERSION_BY_PATH[path], environ)
            return _describe("POST") if method == "OPTIONS" else _not_allowed(method, "POST")
        if path == "/livez" and method in ("GET", "HEAD"):  # says nothing of the store: a restart mends none
            environ[QUIET] = True
            return Response(200, {"status": "ok"})
        if path in ("/health", "/readyz") or (
            method == "OPTIONS" and path in ("/", "*")
        ):  # HAProxy's check by default
            if method in ("GET", "HEAD", "OPTIONS"):
                return self._health(environ)
            return _not_allowed(method, "GET")
        return refuse(
            404,
            "not_found",
            f"no such path; POST to {' or '.join(_VERSION_BY_PATH)}, GET /health, /livez or /readyz",
        )

    def _take(self, version: str, environ: WSGIEnvironment) -> Response:
        """Take a batch through the stages; the first refusal is the answer."""
        sent_id, parents = environ.get(_IDEMPOTENCY, ""), wire.split_ids(environ.get(_PARENT, ""))
        try:
            signed = self._intake.read(environ)
        except RefusedError as error:
            if error.response.status == HTTPStatus.UNAUTHORIZED:
                self.refused.note(environ[FACTS], self._find_client(environ))
            is_too_large = error.response.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            answer = (is_too_large and self._find_unread(version, environ, sent_id, parents)) or error.response
            self._show_refusal(answer, claimed_key(environ), version, environ)
            return answer
        with signed.loan:
            answer = self._take_signed(version, environ, signed, sent_id, parents)
            self._show_refusal(answer, signed.key_name, version, environ, signed.plain)
            return answer

    def _show_refusal(
        self, answer: Response, key_name: str, version: str, environ: WSGIEnvironment, body: bytes = b""
    ) -> None:
        if self._feed is not None and "error" in answer.fields:
            self._feed.add_refusal(answer, key_name, version, environ[FACTS], body)

    def _find_client(self, environ: WSGIEnvironment) -> str:
        forwarded_for = environ.get("HTTP_X_FORWARDED_FOR", "")
        return find_client(environ.get("REMOTE_ADDR", "-"), forwarded_for, self._settings.proxies)

    def _take_signed(
        self,
        version: str,
        environ: WSGIEnvironment,
        signed: SignedBody,
        sent_id: str,
        parents: tuple[str, ...],
    ) -> Response:
        facts = environ[FACTS]
        if sent_id and not _BATCH_ID.fullmatch(sent_id):
            reason = f"{wire.IDEMPOTENCY_HEADER} must be 1 to 128 visible ASCII characters"
            return refuse(400, "bad_idempotency_key", reason)
        if len(parents) > _MAX_PARENTS or not all(map(_BATCH_ID.fullmatch, parents)):
            reason = f"{wire.PARENT_HEADER} must be up to {_MAX_PARENTS} batch ids, separated by commas"
            return refuse(400, "bad_parent_batch", reason)
        batch_id = sent_id or wire.new_batch_id()
        facts |= {"key": signed.key_name, "batch": batch_id, "attempt": environ.get(_ATTEMPT, "-")}
        batch = IncomingBatch(
            key_name=signed.key_name,
            batch_id=batch_id,
            deduplicate=bool(sent_id),
            digest=hashlib.sha256(signed.plain).digest(),
            version=version,
            received_at=self._clock(),
            events=(),
            parents=parents if sent_id else (),
        )
        try:
            events = self._reader.read(signed.key_name, version, signed.plain, environ.get(_COUNT, ""))
        except RefusedError as refused:
            refusal = refused.response
            named = dataclasses.replace(refusal, fields={**refusal.fields, "batch_id": batch_id})
            return self._taken_before(batch) or named
        facts["events"] = len(events.rows)
        if events.unknown:
            facts["unknown_fields"] = events.unknown.total()
            self._unknown.note(signed.key_name, events.unknown)
        return self._keep(dataclasses.replace(batch, events=events.rows), events.unknown.total())

    def _find_unread(
        self, version: str, environ: WSGIEnvironment, batch_id: str, parents: tuple[str, ...]
    ) -> Response | None:
        """Answer a batch whose body is too large to be read, if it was stored under higher limits.

        Whether it is signed remains unknown; only the sender knows an id, and nothing is stored here.
        """
        ids = (batch_id, *parents)
        if not all(map(_BATCH_ID.fullmatch, ids)) or len(parents) > _MAX_PARENTS:
            return None
        batch = IncomingBatch(
            key_name=claimed_key(environ),
            batch_id=batch_id,
            deduplicate=True,
            digest=None,
            version=version,
            received_at=self._clock(),
            events=(),
            parents=parents,
        )
        answer = self._taken_before(batch)
        return answer if answer and answer.status == HTTPStatus.OK else None

    def _taken_before(self, batch: IncomingBatch) -> Response | None:
        """Answer a batch that was stored under other limits than today's; its sender would split it."""
        receipt = self._store.seen(batch) if batch.deduplicate else None
        return answer_receipt(batch.batch_id, receipt) if receipt else None

    def _keep(self, batch: IncomingBatch, unknown_fields: int) -> Response:
        counted = {"unknown_fields": unknown_fields} if unknown_fields else {}
        started = time.monotonic()
        receipt = self._store.add(batch)
        self._counts.store_called(time.monotonic() - started)
        if receipt.outcome is Outcome.STORED:
            self._counts.stored(batch.key_name, len(batch.events), unknown_fields)
        elif receipt.outcome is Outcome.DUPLICATE:
            self._counts.duplicate(batch.key_name, len(batch.events))
        elif receipt.outcome is Outcome.UNAVAILABLE:
            self._counts.engine_failed(receipt.code)
        if self._feed is not None:
            self._feed.add_receipt(batch, receipt)
        return answer_receipt(batch.batch_id, receipt, events=len(batch.events), **counted)

    def _health(self, environ: WSGIEnvironment) -> Response:
        """Answer a probe; the access log has those that fail."""
        health = self._store.health()
        if not health.writable:
            environ[FACTS]["reason"] = health.reason
            return answer_unavailable(health.reason)
        environ[QUIET] = True
        fields = {
            "status": "ok",
            "events_stored": health.events_stored,
            "unknown_fields": self._unknown.total,
            "version": eventpub.__version__,
        }
        return Response(200, fields, (("Allow", _ALLOWED["GET"]),))


def _not_allowed(method: str, allowed: str) -> Response:
    reason = f"{method} is not allowed here; use {allowed}"
    return refuse(405, "method_not_allowed", reason, headers=(("Allow", _ALLOWED[allowed]),))


def _describe(allowed: str) -> Response:
    return Response(200, {"allowed": _ALLOWED[allowed].split(", ")}, (("Allow", _ALLOWED[allowed]),))
