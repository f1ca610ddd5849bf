"""Whether the collector can be reached, and takes what the sidecar signs: tried with an empty batch."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from eventpub import wire
from eventpub.cli.findings import Finding, Level
from eventpub.cli.wording import count_noun
from eventpub.settings.address import host_and_port
from eventpub.sidecar.delivery.answer import judge_answer
from eventpub.sidecar.delivery.compression import Codec
from eventpub.sidecar.delivery.payload import build_payload
from eventpub.sidecar.delivery.post import Poster
from eventpub.sidecar.http.connections import Connections
from eventpub.sidecar.http.errors import NoAnswerError
from eventpub.sidecar.http.patience import Patience
from eventpub.sidecar.http.trouble import explain_failure
from eventpub.sidecar.telemetry.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventpub.sidecar.config import SidecarConfig
    from eventpub.sidecar.delivery.answer import Answer
    from eventpub.wire.signing import SigningKey

MAX_WAIT_SECONDS = 5.0  # for each step, if collector.timeout is longer
CLOCK_SECONDS = 60.0
EXPIRES_SOON_SECONDS = 14 * 86_400.0
_DAY_SECONDS = 86_400.0
_DEFAULT_PORTS = {"http": 80, "https": 443}
_REFUSED_BUT_READ = (Verdict.BISECT, Verdict.HALVE, Verdict.RECODE)


def check_collector(config: SidecarConfig, key: SigningKey | None) -> Iterator[Finding]:
    """Look up and dial the collector, look at its certificate, and post an empty batch signed by `key`."""
    wait_seconds = min(config.collector_timeout_seconds, MAX_WAIT_SECONDS)
    connections = Connections(
        config.collector_url,
        kept=1,
        max_age_seconds=wait_seconds,
        ca_file=config.collector_ca_file,
        client_certificate=config.collector_client_certificate,
        client_key=config.collector_client_key,
    )
    try:
        if connections.route.pool.proxy is None:
            found = [*_check_addresses(config, wait_seconds)]
            yield from found
            if any(finding.level is Level.FAILING for finding in found):
                return
        else:
            yield Finding(Level.OK, "collector: is reached through the proxy of the environment")
        line = connections.take(Patience(wait_seconds, 3 * wait_seconds))
    except (OSError, NoAnswerError) as error:
        trouble = explain_failure(error)
        text, _, remedy = trouble.reason.rpartition("; ")
        yield Finding(
            Level.FAILING, f"collector: {config.collector_url}: {text or remedy}", remedy if text else ""
        )
        return
    try:
        if isinstance(line.sock, ssl.SSLSocket):
            yield _check_certificate(line.sock.getpeercert() or {}, line.sock.version() or "TLS", time.time())
    finally:
        line.close()
        connections.close()
    if key is not None:
        yield from _check_batch(config, key)


def _check_addresses(config: SidecarConfig, wait_seconds: float) -> Iterator[Finding]:
    """Dial all addresses of the collector's name, since the sidecar may come to any of them."""
    host, port = host_and_port(config.collector_hostname)
    port = port or _DEFAULT_PORTS[config.collector_scheme]
    found: list[Any] = []
    lookup = threading.Thread(target=lambda: found.append(_look_up(host, port)), daemon=True)
    lookup.start()
    lookup.join(wait_seconds)
    addresses = found[0] if found else f"no name server answered in {wait_seconds:g} s"
    if isinstance(addresses, str):
        remedy = "check collector.hostname, and the name servers of this host (/etc/resolv.conf)"
        yield Finding(Level.FAILING, f"collector: {host} cannot be looked up: {addresses}", remedy)
        return
    dead = {address: why for address in addresses if (why := _dial(address, wait_seconds))}
    alive = [address[4][0] for address in addresses if address not in dead]
    told = "; ".join(f"{address[4][0]}: {why}" for address, why in dead.items())
    if not alive:
        remedy = "start it, or check collector.hostname, its port, and firewalls between"
        yield Finding(Level.FAILING, f"collector: nothing answers at {host} port {port}: {told}", remedy)
        return
    yield Finding(Level.OK, f"collector: {host} port {port} answers at {', '.join(alive)}")
    if dead:
        text = f"collector: some addresses of {host} do not answer at port {port}: {told}"
        remedy = "repair them or take them out of the DNS; the sidecar uses the others, a little later"
        yield Finding(Level.WARNING, text, remedy)


def _look_up(host: str, port: int) -> list[Any] | str:
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return (error.strerror if isinstance(error, OSError) else None) or str(error)
    return list({address[4]: address for address in found}.values())


def _dial(address: Any, wait_seconds: float) -> str:
    """Return why an address does not answer, or nothing."""
    family, kind, protocol, _, place = address
    with socket.socket(family, kind, protocol) as dialled:
        dialled.settimeout(wait_seconds)
        try:
            dialled.connect(place)
        except OSError as error:
            return error.strerror or str(error)
    return ""


def _check_certificate(certificate: dict[str, Any], protocol: str, now: float) -> Finding:
    """Judge when the certificate expires; that its chain and its name are good, the connection has proven."""
    subject, issuer = (
        dict(pair for group in certificate.get(part, ()) for pair in group) for part in ("subject", "issuer")
    )
    name = subject.get("commonName", "without a name")
    authority = issuer.get("commonName") or issuer.get("organizationName", "an authority without a name")
    ends_at = ssl.cert_time_to_seconds(certificate["notAfter"])
    days = (ends_at - now) / _DAY_SECONDS
    text = (
        f"collector: {protocol}, certificate {name!r} by {authority!r}, "
        f"good for {count_noun(max(0, int(days)), 'day')}"
    )
    if ends_at - now < EXPIRES_SOON_SECONDS:
        return Finding(Level.WARNING, text, "renew the collector's certificate")
    return Finding(Level.OK, text)


def _check_batch(config: SidecarConfig, key: SigningKey) -> Iterator[Finding]:
    """Post an empty batch, and say what the answer means; one that refuses it has proven little."""
    payload = build_payload(
        config.collector_version,
        b"",
        0,
        batch_id=wire.new_batch_id(),
        attempt=1,
        key=key,
        codec=Codec.NONE,
    )
    poster = Poster.of_config(config, config.collector_version, concurrency=1)
    try:
        answer = poster.post(payload)
    finally:
        poster.close()
    verdict, url = judge_answer(answer), config.collector_url
    said = f"answered {answer.status}: {answer.account}" if answer.status else answer.account
    if verdict is Verdict.ACCEPTED:
        yield Finding(Level.OK, f"collector: {url} accepts batches signed by this key")
    elif verdict in _REFUSED_BUT_READ:
        text = f"collector: {url} takes no empty batch, which says little of others; it {said}"
        yield Finding(Level.WARNING, text)
    else:
        remedy = verdict.remedy or "see the collector's log; the sidecar keeps its events meanwhile"
        yield Finding(Level.FAILING, f"collector: {url} does not accept a signed empty batch: {said}", remedy)
    yield from _check_clock(answer)


def _check_clock(answer: Answer) -> Iterator[Finding]:
    try:
        ahead_seconds = parsedate_to_datetime(answer.date).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError, IndexError):  # it does not say, or not in a way that is one
        return
    if abs(ahead_seconds) < CLOCK_SECONDS:
        yield Finding(Level.OK, "collector: its clock and this host's agree")
        return
    direction = "ahead of" if ahead_seconds > 0 else "behind"
    text = f"collector: its clock is {abs(ahead_seconds):,.0f} s {direction} this host's"
    remedy = "set both by NTP: signatures with a date are refused, and times of events are wrong"
    yield Finding(Level.WARNING, text, remedy)
