"""The soak, for six seconds: `make soak` runs it for longer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from support.paths import ROOT
from system.soak.books import POISON, draw_up


def test_a_short_soak_loses_repeats_and_alters_nothing() -> None:
    command = [sys.executable, "-m", "system.soak", "--minutes", "0.1"]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as soak:
        try:
            said, _ = soak.communicate(timeout=240)
        except subprocess.TimeoutExpired:
            soak.send_signal(signal.SIGINT)  # not SIGKILL: its processes would go on
            raise
    print(said)
    assert soak.returncode == 0
    assert "lost                0" in said


def test_the_books_of_a_soak_do_not_hold_if_an_event_is_lost_doubled_altered_or_invented() -> None:
    accepted = [b"1", b"2", b"3", b"4"]
    assert draw_up([*accepted, POISON], [b"3", b"1", b"4", b"2"], [POISON]).hold
    assert draw_up(accepted, [b"3", b"1", b"4"], [b"2"]).innocent == 1
    assert draw_up(accepted, [b"1", b"2"], [b"3"]).lost == 1
    assert draw_up(accepted, [*accepted, b"4"], []).doubled == 1
    assert draw_up(accepted, accepted, [b"4"]).doubled == 1
    assert draw_up(accepted, [*accepted, b"5"], []).altered == 1
    changed = draw_up(accepted, [b"1", b"2", b"3", b"4 "], [])
    assert (changed.lost, changed.altered, changed.hold) == (1, 1, False)
