"""Whether statsd can be reached, as far as UDP tells."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

from eventpub.cli.findings import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventpub.sidecar.config import SidecarConfig

_REMEDY = "start statsd, or check metrics.endpoint; the sidecar goes on without"
_ICMP_SECONDS = 0.05  # in which a host says that nobody listens at a port; a local one does so at once


def check_statsd(config: SidecarConfig) -> Iterator[Finding]:
    """Send a counter of zero; a port where nobody listens says so where no firewall is between."""
    endpoint = config.metrics_endpoint
    if endpoint is None:
        yield Finding(Level.OK, "statsd: metrics.endpoint is not set, so no metrics are sent")
        return
    shown = endpoint if isinstance(endpoint, str) else f"{endpoint[0]} port {endpoint[1]}"
    prefix = config.metrics_namespace.strip(".")
    metric = f"{prefix + '.' if prefix else ''}doctor:0|c".encode()
    try:
        _send_twice(endpoint, metric)
    except OSError as error:
        yield Finding(Level.WARNING, f"statsd: {shown}: {error.strerror or error}", _REMEDY)
    else:
        yield Finding(Level.OK, f"statsd: {shown} takes what is sent, or says nothing")


def _send_twice(endpoint: tuple[str, int] | str, metric: bytes) -> None:
    """Send a datagram twice: the second time the kernel tells what became of the first."""
    if isinstance(endpoint, str):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
            sending.connect(endpoint)
            sending.send(metric)
        return
    found = socket.getaddrinfo(*endpoint, type=socket.SOCK_DGRAM)
    family, *_, address = min(found, key=lambda info: info[0] != socket.AF_INET)  # as `statsd_client`
    with socket.socket(family, socket.SOCK_DGRAM) as sending:
        sending.connect(address)
        sending.send(metric)
        time.sleep(_ICMP_SECONDS)
        sending.send(metric)
