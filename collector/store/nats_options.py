"""How a client of NATS connects: to which servers, and with what credentials."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from .address import StoreAddress


def connect_options(address: StoreAddress, credentials: Path | None = None) -> dict[str, Any]:
    """Return what a client needs to connect: servers, and credentials from a file or the environment."""
    return {
        "servers": address.where.split(","),
        "name": "eventpub-collector",
        "user_credentials": str(credentials) if credentials else None,
        "user": os.environ.get("NATS_USER"),
        "password": os.environ.get("NATS_PASSWORD"),
        "error_cb": _ignore,  # each call meets its own error
    }


async def _ignore(_error: Exception) -> None:
    pass
