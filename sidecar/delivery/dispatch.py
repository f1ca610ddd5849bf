"""One attempt from end to end: the events of a batch -> payload -> answer -> verdict."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, NamedTuple

from eventpub.errors import ConfigError
from eventpub.sidecar.http.patience import DEADLINE_TIMEOUTS, SLOWEST_BYTES_PER_SECOND
from eventpub.sidecar.telemetry.verdicts import Verdict

from . import compression, payload
from .answer import Answer, judge_answer
from .event_time import read_event_time
from .post import Poster

if TYPE_CHECKING:
    from eventpub.sidecar.config import SidecarConfig
    from eventpub.sidecar.spool.batch import Batch
    from eventpub.sidecar.spool.records import Header
    from eventpub.sidecar.telemetry.metrics import Telemetry

    from .pack import Packed

_KEY_SETTLED_SECONDS = 0.5  # a program that writes a file in several steps takes less


class Contents(NamedTuple):
    """What a batch file holds, read and found whole."""

    header: Header
    packed: Packed


class Dispatcher:
    """Sends batches as one configuration says.

    Args:
        config: the collector and the key.
        telemetry: times the attempts.
    """

    def __init__(self, config: SidecarConfig, telemetry: Telemetry) -> None:
        self._config = config
        self._telemetry = telemetry
        self._posters: dict[str, Poster] = {}  # by version: batches may wait that were received under another
        self._negotiation = compression.Negotiation(config.compression)

    def allowed_seconds(self, contents: Contents) -> float:
        """Return how long an attempt at a batch may take."""
        timeouts_seconds = DEADLINE_TIMEOUTS * self._config.collector_timeout_seconds
        return timeouts_seconds + len(contents.packed.joined) / SLOWEST_BYTES_PER_SECOND

    def dispatch(self, batch: Batch, contents: Contents) -> tuple[Answer, Verdict]:
        """Make one attempt at a batch; nothing else may pack a batch until it has a payload."""
        codec = self._negotiation.codec()
        answer = _keep_own(self._post(batch, contents, codec), contents.header.batch_id)
        verdict = judge_answer(answer)
        if answer.status is not None:
            self._negotiation.offered(answer.codings)
        if verdict is Verdict.RECODE and not self._negotiation.refused(codec):
            verdict = Verdict.MISCONFIGURED
        return answer, verdict

    def close(self) -> None:
        """Close the connections that wait for use."""
        for poster in self._posters.values():
            poster.close()

    def _post(self, batch: Batch, contents: Contents, codec: compression.Codec) -> Answer:
        try:
            key = self._config.signing_key(settled_seconds=_KEY_SETTLED_SECONDS)
        except ConfigError as error:
            return Answer.none("key", str(error), is_sent=False)
        version = self._version_of(contents)
        if batch.event_at is None:
            batch.event_at = read_event_time(version, contents.packed.joined)
        request = payload.build_payload(
            version,
            contents.packed.joined,
            contents.packed.events,
            batch_id=contents.header.batch_id,
            parents=contents.header.parents,
            attempt=batch.attempts,
            key=key,
            codec=codec,
        )
        started = time.monotonic()
        answer = self._poster(version).post(request)
        self._telemetry.post_finished(time.monotonic() - started)
        self._telemetry.attempts.dated(answer.date)
        return answer

    def _version_of(self, contents: Contents) -> str:
        return contents.header.version or self._config.collector_version

    def _poster(self, version: str) -> Poster:
        if version not in self._posters:
            self._posters[version] = Poster.of_config(self._config, version, self._config.publisher_concurrency)
        return self._posters[version]


def _keep_own(answer: Answer, batch_id: str) -> Answer:
    """Leave out of an answer what it says about another batch."""
    if answer.batch_id in ("", batch_id):
        return answer
    return dataclasses.replace(answer, batch_id="", error="", rejected=())
