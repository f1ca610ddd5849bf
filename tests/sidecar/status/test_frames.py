"""The form of `/tap`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from eventpub.sidecar.status.frames import EVENT, LOST, VERSION, Frame, FrameReader, write_events, write_frame

FRAMES = st.lists(st.tuples(st.sampled_from([EVENT, LOST, VERSION]), st.binary(max_size=40)), max_size=8)


@given(FRAMES, st.lists(st.integers(1, 9), max_size=30))
def test_frames_are_read_in_whatever_pieces_they_come(frames: list[tuple[bytes, bytes]], cuts: list[int]):
    stream = b"".join(write_frame(*frame) for frame in frames)
    reader, read = FrameReader(), []
    for length in [*cuts, len(stream)]:
        read += reader.read(stream[:length])
        stream = stream[length:]
    assert read == frames


def test_the_events_of_a_batch_come_with_its_version():
    assert [*FrameReader().read(write_events("2j", [b"{}", b"\0\n"]))] == [
        Frame(VERSION, b"2j"),
        Frame(EVENT, b"{}"),
        Frame(EVENT, b"\0\n"),
    ]
