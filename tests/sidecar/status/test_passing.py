"""What a sidecar copies to those who tap it, and what it does not."""

from __future__ import annotations

from pathlib import Path

from support.commands import SpoolFolder

from eventpub.sidecar.spool.batch import Batch
from eventpub.sidecar.status.frames import ALIVE, EVENT, LOST, VERSION, FrameReader
from eventpub.sidecar.status.passing import MAX_READERS, MAX_WAITING_BYTES, Passing


def test_nothing_is_read_while_nobody_looks(tmp_path: Path):
    Passing().show(Batch(tmp_path / "there is no such file", 1, 1))


def test_each_reader_gets_every_event_and_a_slow_one_is_told_how_many_it_lost(tmp_path: Path):
    spool = SpoolFolder(tmp_path / "spool")
    event = b'{"pad":"%s"}' % (b"x" * 60_000)
    batch = Batch.at(spool.batch(1, [event] * 10))
    shown = Passing()
    slow, fast = iter(shown.answer({}).body), iter(shown.answer({}).body)
    readers = {"slow": FrameReader(), "fast": FrameReader()}
    assert [frame.kind for frame in readers["slow"].read(next(slow))] == [ALIVE]
    assert [frame.kind for frame in readers["fast"].read(next(fast))] == [ALIVE]
    got = []
    for _ in range(20):
        shown.show(batch)
        got += readers["fast"].read(next(fast))
    assert [frame.kind for frame in got] == [VERSION, *[EVENT] * 10] * 20
    late = [*readers["slow"].read(next(slow))]
    kept = sum(frame.kind == EVENT for frame in late)
    assert kept * len(event) <= MAX_WAITING_BYTES
    assert (late[-1].kind, kept + int(late[-1].content)) == (LOST, 200)


def test_a_reader_that_goes_makes_room_and_one_too_many_is_told(tmp_path: Path):
    shown = Passing()
    bodies = [iter(shown.answer({}).body) for _ in range(MAX_READERS)]
    for body in bodies:
        next(body)
    assert shown.answer({}).status == 503
    bodies[0].close()
    assert shown.answer({}).status == 200
    batch = Batch(tmp_path / "gone", 7, 1)
    shown.show(batch)  # a file that is gone costs its events
    assert [*FrameReader().read(next(bodies[1]))] == [(LOST, b"7")]


def test_a_reader_gets_a_sign_of_life():
    body = iter(Passing(alive_seconds=0.01).answer({}).body)
    next(body)
    assert [frame.kind for frame in FrameReader().read(next(body))] == [ALIVE]
