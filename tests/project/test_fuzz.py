"""Every reader stands whatever bytes it is given; `make fuzz` asks the same for longer, guided by coverage."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from fuzz.targets import ROOT, SEEDS, TARGETS
from hypothesis import given, settings
from hypothesis import strategies as st


@st.composite
def nearly(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """Bytes of a seed with some changed, lost, doubled and put in."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 20)))
        data[start:end] = draw(st.binary(max_size=20) | st.just(bytes(data[start:end]) * 2))
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=200)
@given(data=st.data())
def test_a_reader_stands_whatever_it_reads(name, data):
    TARGETS[name](data.draw(st.binary(max_size=300) | nearly(SEEDS[name])))


SECTION = b"[event-publisher:v2]\ncollector.hostname = c\nkey.name = k\nkey.secret = YQ==\n"
FOUND = [  # and mended since
    ("ini", SECTION + b"collector.ca_file = a\0b\n"),
    ("ini", SECTION + b"spool.max_size = " + b"9" * 400),
]


@pytest.mark.parametrize(("name", "data"), FOUND)
def test_what_once_broke_a_reader_does_so_no_more(name, data):
    TARGETS[name](data)


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_taken(name):
    for seed in SEEDS[name]:
        TARGETS[name](seed)


def test_without_atheris_make_fuzz_says_so_and_is_no_failure():
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; sys.modules['atheris'] = None; import runpy; runpy.run_module('fuzz')",
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.startswith("skipped: atheris has no wheel for this Python")
