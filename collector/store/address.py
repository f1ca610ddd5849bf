"""`store = …`: which engine keeps the events, and where it is.

| value                                    | engine                                                          |
|------------------------------------------|-----------------------------------------------------------------|
| `sqlite:PATH`                            | one SQLite file; nothing else to install                        |
| `nats://HOST:PORT[,HOST:PORT…]/STREAM`   | a stream of NATS JetStream; `tls://` for TLS                     |
| `kafka://HOST:PORT[,HOST:PORT…]/TOPIC`   | a topic of Kafka                                                |
| `postgresql://[USER@]HOST[:PORT]/DB`     | a PostgreSQL database; the rest as libpq has it                 |

A password never stands in it: each client takes credentials from the file or the environment that its own
documentation names. One that is given all the same is refused, and never shown.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from eventpub.settings import ini

_HOSTS = r"[A-Za-z0-9._-]+(?::\d{1,5})?|\[[0-9A-Fa-f:.]+\](?::\d{1,5})?"
_CLUSTER = re.compile(rf"(nats|tls|kafka)://((?:{_HOSTS})(?:,(?:{_HOSTS}))*)/([A-Za-z0-9._-]{{1,200}})")
_DATABASE = re.compile(r"postgres(?:ql)?://(?P<user>[^@/:?#]*@)?[^@?#]*/[^@/?#]+(?:\?[^@#]*)?")
_STREAM = re.compile(r"[A-Za-z0-9_-]{1,32}")
_PASSWORD = re.compile(r"(^|[?&])(password|sslpassword|passfile)=", re.IGNORECASE)


class StoreAddress(NamedTuple):
    """Where events go.

    Attributes:
        engine: `sqlite`, `nats`, `kafka` or `postgresql`.
        where: the path, the servers or the whole URL, as the engine's client takes it.
        name: of the stream or topic; empty for the others.
    """

    engine: str
    where: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.engine}:{self.where}" if self.engine == "sqlite" else self.where

    @property
    def path(self) -> Path:
        """Return the SQLite file."""
        return Path(self.where)


def store_address() -> ini.Kind[StoreAddress]:
    """Where events go, see the table of this module."""
    return ini.Kind(
        parse_store,
        "sqlite:PATH, nats://HOST:PORT[,…]/STREAM, kafka://HOST:PORT[,…]/TOPIC or postgresql://USER@HOST/DB, "
        "without a password",
    )


def parse_store(value: str) -> StoreAddress:
    """Read the value of `store`.

    Raises:
        ValueError: it is none of these.
    """
    if value.startswith("sqlite:"):
        return StoreAddress("sqlite", str(ini.path().parse(value.removeprefix("sqlite:"))))
    if match := _CLUSTER.fullmatch(value):
        scheme, hosts, name = match.groups()
        if scheme == "kafka":
            return StoreAddress("kafka", hosts, name)
        if _STREAM.fullmatch(name):
            return StoreAddress("nats", ",".join(f"{scheme}://{host}" for host in hosts.split(",")), name)
    if (match := _DATABASE.fullmatch(value)) and not _PASSWORD.search(value.partition("?")[2]):
        return StoreAddress("postgresql", value)
    raise ValueError
