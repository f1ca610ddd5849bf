"""A name and a port -> a connected socket, whichever of the name's addresses answers.

The addresses share the time for connecting, so that dead ones do not use up all of it. The one that worked last
comes first, and those that failed lately come last: however many are dead, each attempt comes to others.
"""

from __future__ import annotations

import errno
import socket
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .patience import Patience

_MIN_SHARE = 0.1  # of the timeout: what an address that is alive needs, however many others there are
UNREACHABLE = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EADDRNOTAVAIL}
)

_Address = tuple[Any, ...]


class Dialer:
    """Connects, and remembers which addresses answered.

    Args:
        lookup: called as `socket.getaddrinfo`, which is the default.
    """

    def __init__(self, lookup: Callable[..., Sequence[tuple[Any, ...]]] | None = None) -> None:
        self._lookup = lookup or socket.getaddrinfo
        self._worked: _Address | None = None
        self._failed_at: dict[_Address, float] = {}

    def dial(self, host: str, port: int, patience: Patience) -> socket.socket:
        """Return a socket that is connected to one of the host's addresses.

        Args:
            host: a name or an address.
            port: where to.
            patience: its timeout is what all addresses may take together.

        Raises:
            socket.gaierror: the name has no address.
            OSError: none of them answers.
        """
        patience.phase = f"looking up the address of {host}"
        found = self._lookup(host.strip("[]"), port, type=socket.SOCK_STREAM)
        addresses = {address: family for family, _, _, _, address in found}
        self._failed_at = {address: at for address, at in self._failed_at.items() if address in addresses}
        failures: list[OSError] = []
        left_seconds = patience.timeout_seconds
        for tried, address in enumerate(sorted(addresses, key=self._rank)):
            share_seconds = max(left_seconds / (len(addresses) - tried), patience.timeout_seconds * _MIN_SHARE)
            patience.phase = f"connecting to {address[0]} port {port}"
            started = time.monotonic()
            timeout_seconds = min(share_seconds, patience.next_seconds())
            try:
                connected = _connect(addresses[address], address, timeout_seconds)
            except OSError as error:
                self._failed_at[address] = time.monotonic()
                failures.append(error)
                left_seconds = max(0.0, left_seconds - (time.monotonic() - started))
            else:
                self._failed_at.pop(address, None)
                self._worked = address
                return connected
        raise _sum_up(failures)

    def _rank(self, address: _Address) -> tuple[bool, float]:
        return address != self._worked, self._failed_at.get(address, 0.0)


def _connect(family: int, address: _Address, timeout_seconds: float) -> socket.socket:
    connected = socket.socket(family, socket.SOCK_STREAM)
    try:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.settimeout(timeout_seconds)
        connected.connect(address)
    except BaseException as error:  # a deadline or the end of the process as well
        connected.close()
        if isinstance(error, OSError):
            number = error.errno or errno.ETIMEDOUT
            cause = error.strerror or f"no answer in {timeout_seconds:.2g} seconds"
            raise OSError(number, f"{address[0]} port {address[1]}: {cause}") from error
        raise
    return connected


def _sum_up(failures: list[OSError]) -> OSError:
    """Return one error that tells all; its kind is that of the first one that says more than "no way there"."""
    telling = next((error for error in failures if error.errno not in UNREACHABLE), failures[0])
    return OSError(telling.errno, "; ".join(str(error.strerror) for error in failures))
