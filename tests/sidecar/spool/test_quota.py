"""How much the dead letters of a queue may take together."""

from __future__ import annotations

import os
import time
from pathlib import Path

from support.waiting import wait_until

from eventpub.sidecar.spool.quota import Quota


def test_what_is_taken_counts_before_it_is_written(tmp_path: Path) -> None:
    quota = Quota(tmp_path, 1000)
    assert [quota.take(400) for _ in range(3)] == [True, True, False]
    assert quota.take(200), "something smaller still fits"
    assert not quota.take(1)


def test_what_was_taken_and_never_written_is_free_again_once_that_is_settled(tmp_path: Path) -> None:
    quota = Quota(tmp_path, 1000)
    assert quota.take(900)
    assert not quota.take(200)
    quota.settle()
    assert quota.take(1000)


def test_what_was_taken_and_written_counts_once(tmp_path: Path) -> None:
    quota = Quota(tmp_path, 1000)
    assert quota.take(600)
    (tmp_path / "1.json").write_bytes(b"x" * 600)
    quota.settle()
    assert not quota.take(401)
    assert quota.take(400)


def test_the_bound_is_one_for_all_sidecars_of_a_queue(tmp_path: Path) -> None:
    """What another one adds is seen a second later."""
    mine, others = (Quota(tmp_path, 1000) for _ in range(2))
    for number in range(2):
        assert others.take(400)
        (tmp_path / f"{number}.json").write_bytes(b"x" * 400)
        others.settle()
    wait_until(lambda: not mine.take(300), "what the other has added is seen")


def test_measuring_again_costs_nothing_while_nobody_changes_a_full_folder(tmp_path: Path) -> None:
    for number in range(2000):
        (tmp_path / f"{number}.json").write_bytes(b"x" * 100)
    os.utime(tmp_path, (0, time.time() - 60))
    quota = Quota(tmp_path, 200_000)
    started = time.monotonic()
    for _ in range(2000):
        assert not quota.take(1)
    assert time.monotonic() - started < 1.0  # 2,000 times 2,000 files take ten times that
    (tmp_path / "7.json").unlink()
    assert quota.take(100)
    assert not quota.take(1)
