"""Many mutated inputs for one target, without atheris: `python -m fuzz.volume answer 100000 [SEED]`.

Prints how many were tried in which time, the slowest, and how much memory grew after the first thousand; more
than a second or 64 MiB is a failure. What a target raises ends it, with the bytes that did it.
"""

from __future__ import annotations

import logging
import random
import resource
import sys
import time
from collections.abc import Iterator

from fuzz.targets import SEEDS, TARGETS

_WARM_UP = 1_000
_MAX_SECONDS = 1.0
_MAX_GROWTH_MIB = 64
_PIECES = (
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\x00",
    b"\xff",
    b"-1",
    b"0",
    b"999999999999999999999",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"A" * 70_000,
    b"X: y\r\n" * 2_000,
    b"1\r\nx\r\n" * 2_000,
)


def mutate(seeds: list[bytes], randomness: random.Random) -> bytes:
    """Return a seed with pieces of it changed, lost, doubled, put in, or taken from another."""
    data = bytearray(randomness.choice(seeds))
    for _ in range(randomness.randrange(6)):
        start = randomness.randint(0, len(data))
        end = min(len(data), start + randomness.randrange(20))
        match randomness.randrange(6):
            case 0:
                data[start:end] = randomness.randbytes(randomness.randrange(8))
            case 1:
                data[start:end] = b""
            case 2:
                data[start:end] = bytes(data[start:end]) * randomness.choice((2, 2, 2, 500))
            case 3:
                data[start:start] = randomness.choice(_PIECES)
            case 4:
                other = randomness.choice(seeds)
                data[start:end] = other[randomness.randint(0, len(other)) :]
            case _:
                del data[randomness.randint(0, len(data)) :]
    return bytes(data)


def _mutants(name: str, count: int, seed: int) -> Iterator[bytes]:
    randomness = random.Random(seed)
    for _ in range(count):
        yield mutate(SEEDS[name], randomness)


def main(name: str, count: int, seed: int) -> int:
    """Try `count` mutants of the seeds of target `name`; return an exit code."""
    logging.disable()
    slowest_seconds, started, warm_kib = 0.0, time.monotonic(), 0
    for number, data in enumerate(_mutants(name, count, seed)):
        if number == _WARM_UP:
            warm_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        before = time.monotonic()
        try:
            TARGETS[name](data)
        except BaseException:
            print(f"number {number} of seed {seed}: {data[:2000]!r}", flush=True)
            raise
        slowest_seconds = max(slowest_seconds, time.monotonic() - before)
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - warm_kib) / 1024
    print(
        f"{name}: {count:,} inputs of seed {seed} in {time.monotonic() - started:.0f} s, the slowest took "
        f"{slowest_seconds * 1000:.0f} ms, memory grew by {grown_mib:.1f} MiB"
    )
    return int(slowest_seconds > _MAX_SECONDS or grown_mib > _MAX_GROWTH_MIB)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], int(sys.argv[2]), int((sys.argv[3:] or ["1"])[0])))
