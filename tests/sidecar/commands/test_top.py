"""`eventpub top` beside real sidecars: its screen as text, and what it prints into a pipe."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from support.commands import Command
from support.paths import ROOT
from support.rigs import Run
from support.sidecar_process import SidecarProcess
from support.terminal import run_in_terminal
from support.waiting import DEADLINE_SECONDS, wait_until

from eventpub.sidecar.commands.sampling import Sampler, draw_sparkline, summarize_rows
from eventpub.sidecar.commands.top_columns import COLUMNS, choose_rows
from eventpub.sidecar.commands.top_screen import TopApp
from eventpub.sidecar.status.ask import find_slots

Pilot = Any


@pytest.fixture
def collector_keys() -> None:
    """The key that sidecars have."""


@pytest.fixture
def sidecar(run: Run) -> SidecarProcess:
    return run()


def make_sampler(sidecar: SidecarProcess) -> Sampler:
    return Sampler(lambda: find_slots(sidecar.spool))


def read_screen(app: TopApp) -> str:
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


def look(
    sidecar: SidecarProcess, work: Callable[[TopApp, Pilot, Callable[[str], Awaitable[str]]], Awaitable[None]]
) -> None:
    """Run the program at 80 x 24; `work` gets what waits until the screen has some words, and returns it."""

    async def run() -> None:
        app = TopApp(make_sampler(sidecar), 0.1)
        async with app.run_test(size=(80, 24)) as pilot:

            async def wait_for(words: str) -> str:
                deadline = time.monotonic() + DEADLINE_SECONDS
                while words not in read_screen(app):
                    assert time.monotonic() < deadline, f"{words!r} is not in:\n{read_screen(app)}"
                    await pilot.pause(0.05)
                return read_screen(app)

            await work(app, pilot, wait_for)

    asyncio.run(run())


def test_the_screen_shows_each_sidecar_and_opens_sorts_filters_and_pauses(
    sidecar: SidecarProcess, queue_name: str
) -> None:
    name = f"{queue_name}/0"

    async def work(app: TopApp, pilot: Pilot, wait_for: Callable[[str], Awaitable[str]]) -> None:
        screen = await wait_for("running")
        lines = screen.splitlines()
        assert lines[0].startswith("OK  1 queue, 1 sidecar")
        assert lines[1].split() == ["SIDECAR▼", *(column.title for column in COLUMNS[1:])]
        assert lines[2].startswith(name[:13])
        assert all(len(line) <= 80 for line in lines)
        await asyncio.to_thread(sidecar.put, *[b"{}"] * 50)
        await wait_for("█")
        await pilot.press("enter")
        opened = await wait_for("received 50")
        assert "delivered" in opened
        assert f"{queue_name}.ini" in opened
        await pilot.press("escape")
        await wait_for("SIDECAR▼")
        await pilot.press("s")
        await wait_for("STATE▼")
        await pilot.press("r")
        await wait_for("STATE▲")
        await pilot.press("slash")
        await pilot.press(*"nosuch")
        await wait_for("[0 of 1: nosuch]")
        await pilot.press("escape")
        await wait_for(name[:13])
        await pilot.press("p")
        await wait_for("PAUSED")
        rows = app.rows
        await pilot.pause(0.3)
        assert app.rows is rows
        await pilot.press("p")
        await wait_for("OK  1 queue")
        await pilot.press("q")

    look(sidecar, work)


def test_the_screen_tells_a_stopped_sidecar_from_a_killed_one(sidecar: SidecarProcess, queue_name: str) -> None:
    async def work(_: TopApp, pilot: Pilot, wait_for: Callable[[str], Awaitable[str]]) -> None:
        await wait_for("running")
        sidecar.signal(signal.SIGSTOP)
        screen = await wait_for("hung")
        assert screen.startswith(f"FAILING  {queue_name}/0: the sidecar")
        await pilot.press("enter")
        await wait_for("SIGSTOP")
        await pilot.press("escape")
        sidecar.signal(signal.SIGCONT)
        await wait_for("running")
        await asyncio.to_thread(sidecar.kill)
        await wait_for("dead")
        await wait_for("no sidecar holds this slot")

    sidecar.put(*[b"{}"] * 3)
    sidecar.configure(batch_max_age="3600 s")
    sidecar.signal(signal.SIGHUP)
    wait_until(lambda: "reloaded" in sidecar.log(), "batches stay open")
    sidecar.put(*[b"{}"] * 3)
    look(sidecar, work)


def test_it_judges_the_queue_itself_as_status_does(sidecar: SidecarProcess, queue_name: str) -> None:
    sidecar.pause()
    sidecar.put(*[b"{}"] * 9)
    (row,) = make_sampler(sidecar).sample()
    assert [finding.text for finding in row.findings][1:] == [f"{queue_name}: the queue fills: 9 of 10"]
    sidecar.put(b"{}")
    (row,) = make_sampler(sidecar).sample()
    assert f"{queue_name}: the queue is full (10), so put refuses events" in str(row.findings)
    sidecar.signal(signal.SIGCONT)


def test_into_a_pipe_it_prints_a_table_or_json_once(sidecar: SidecarProcess, queue_name: str) -> None:
    def run(*words: str) -> str:
        command = (sys.executable, "-m", "eventpub", "top", "--once", "--spool", str(sidecar.spool), *words)
        return subprocess.run(
            [*command, "--interval", "0.2s"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout

    table = run().splitlines()
    assert table[0] == "OK: 1 queue, 1 sidecar"
    assert table[1].split() == [column.title for column in COLUMNS if column.title != "OUT"]
    assert table[2].split()[:2] == [f"{queue_name}/0", "running"]
    document = json.loads(run("--json"))
    assert document["verdict"] == "OK"
    (shown,) = document["sidecars"]
    assert (
        shown.items() >= {"queue": queue_name, "slot": 0, "state": "running", "received_per_second": 0}.items()
    )
    assert shown["status"]["ledger"]["received"] == 0


def test_without_a_terminal_or_the_extra_or_a_sidecar_it_says_what_to_do(
    eventpub: Command, tmp_path: Path
) -> None:
    done = eventpub("top", "--spool", tmp_path)
    assert (done.code, "for a pipe there is eventpub top --once" in done.err) == (69, True)
    assert eventpub("top", "--json", "--spool", tmp_path).code == 64
    done = eventpub("top", "--once", "--interval", "0.2s", "--spool", tmp_path)
    assert (done.code, done.out.startswith("NONE: no sidecar runs on this host")) == (69, True)
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "textual.py").write_text("raise ModuleNotFoundError('no textual', name='textual')\n")
    asked = run_in_terminal("top", "--spool", tmp_path, env={"PYTHONPATH": str(hidden)})
    assert (asked.code, "pip install 'eventpub-sidecar[top]'" in asked.screen) == (69, True)


def test_rates_are_those_between_two_questions_and_begin_anew_with_another_process(
    sidecar: SidecarProcess, queue_name: str
) -> None:
    sampler = make_sampler(sidecar)
    (first,) = sampler.sample()
    assert first.received_rate is None
    sidecar.put(*[b"{}"] * 20)
    wait_until(lambda: (sampler.sample()[0].received_rate or 0) > 0, "what was received shows")
    sidecar.stop()
    assert sampler.sample() == []
    sidecar.start()
    (again,) = sampler.sample()
    assert again.received_rate is None
    assert summarize_rows([again])[0] == "OK"
    assert choose_rows([again], f"{queue_name.upper()} run") == [again]
    assert choose_rows([again], "paused") == []


def test_a_sparkline_has_the_newest_at_its_right_and_the_largest_full() -> None:
    assert draw_sparkline([], 3) == "   "
    assert draw_sparkline([0, 0], 3) == " ▁▁"
    assert draw_sparkline([9, 0, 1, 2], 3) == "▁▅█"
