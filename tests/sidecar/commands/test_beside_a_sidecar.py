"""`eventpub dead-letters` beside a running sidecar."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.collector_process import CollectorProcess
from support.commands import Command, SpoolFolder
from support.letters import BATCH, NEW, OLD, stored
from support.nursery import Nursery
from support.rigs import Run
from support.sidecar_process import SidecarProcess
from support.waiting import wait_until


@pytest.fixture
def sidecar_keys() -> Mapping[str, str]:
    return {"collector_version": "2j", "key_secret": base64.b64encode(NEW).decode()}


@pytest.fixture
def sidecar(run: Run) -> SidecarProcess:
    return run()


def test_what_a_sidecar_buried_is_replayed_beside_it_under_a_new_key(
    eventpub: Command, sidecar: SidecarProcess, collector: CollectorProcess, nursery: Nursery, tmp_path: Path
) -> None:
    body = json.dumps({"error": "invalid_events", "rejected": [{"index": 0, "reason": "no"}]})
    collector.set_faults([{"status": 422, "body": body, "times": "forever"}])
    sidecar.put(b'{"n":1}')
    wait_until(sidecar.dead_letters, "it is buried")
    (tmp_path / "rotated").mkdir()
    with CollectorProcess(tmp_path / "rotated", keys={"test": OLD}, nursery=nursery) as rotated:
        sidecar.configure(
            collector_hostname=rotated.hostname, key_secret=base64.b64encode(OLD).decode()
        )  # the process itself goes on with the other key
        done = eventpub("dead-letters", "replay", "--queue-name", sidecar.queue_name, sidecar.config, "--all")
        assert done == (0, "accepted 1, stayed 0\n", "")
        assert stored(rotated) == [{"n": 1}]
    assert sidecar.dead_letters() == []


def test_dead_letters_survive_restarts_of_the_sidecar(eventpub: Command, sidecar: SidecarProcess) -> None:
    sidecar.put(b"garbage")
    wait_until(sidecar.dead_letters, "it is buried")
    words = ("dead-letters", "list", "--queue-name", sidecar.queue_name, sidecar.config, "--json")
    before = eventpub(*words).out
    sidecar.stop()
    sidecar.start()
    sidecar.kill()
    sidecar.start()
    assert eventpub(*words).out == before != ""


@pytest.mark.parametrize("action", ["drop", "replay"])
def test_room_made_by_hand_is_seen_by_a_running_sidecar(
    eventpub: Command, sidecar: SidecarProcess, action: str
) -> None:
    sidecar.stop()
    sidecar.config.write_text(sidecar.config.read_text() + "dead_letters.max_size = 1 MiB\n")
    dead = sidecar.spool / sidecar.queue_name / "dead"
    full = SpoolFolder(sidecar.spool.parent / "template")
    for index in range(11):
        letter = full.letter(b'{"pad":"%s"}' % (b"x" * 95_200), batch_id=BATCH, index=index)
        letter.rename(dead / letter.name)
    sidecar.start()
    sidecar.put(b"garbage 1" * 50)
    wait_until(lambda: "no room for their dead letters" in sidecar.log(), "it is full")
    words = ("--yes",) if action == "drop" else ()
    done = eventpub(
        "dead-letters", action, "--queue-name", sidecar.queue_name, sidecar.config, f"{BATCH}-1", *words
    )
    assert done.code == 0, done
    wait_until(lambda: any(BATCH not in path.name for path in sidecar.dead_letters()), "what waited is buried")
    assert sidecar.stop() == 0
    ledger = sidecar.ledger()
    assert (ledger["dead"], ledger["dropped"], ledger["unaccounted"]) == (1, 0, 0)
