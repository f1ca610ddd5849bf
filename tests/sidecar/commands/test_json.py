"""`--json` of the commands that change something: one document says what they did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support.collector_process import CollectorProcess
from support.commands import Command, SpoolFolder, damage
from support.eventpub_command import run
from support.letters import BATCH, fill, place

from eventpub.queue.message_queue import MessageQueue


def read(eventpub: Command, *words: object) -> tuple[int, Any]:
    done = eventpub(*words, "--json")
    return done.code, json.loads(done.out)


def test_a_replay_tells_what_it_would_send_what_was_accepted_and_what_stays(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, config: Path
) -> None:
    fill(spool, 2)
    spool.letter(b'{"no json', batch_id=BATCH, index=7)
    url = f"http://{collector.hostname}/v2j"
    kept = [{"id": f"{BATCH[:12]}-7", "why": "it is not one JSON object, and would corrupt its batch"}]
    replay = ("dead-letters", "replay", *place(config), "--all")
    assert read(eventpub, *replay, "--dry-run") == (
        1,
        {"would_send": 2, "batches": 1, "interrupted_batches": 0, "would_keep": kept, "url": url},
    )
    assert read(eventpub, *replay) == (1, {"accepted": 2, "kept": kept, "url": url, "stopped_by": None})


def test_a_replay_that_was_stopped_tells_by_which_answer(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, config: Path
) -> None:
    fill(spool, 1)
    collector.stop()
    code, told = read(eventpub, "dead-letters", "replay", *place(config), "--all")
    assert (code, told["accepted"], told["kept"]) == (2, 0, [])
    assert (told["stopped_by"]["status"], told["stopped_by"]["kind"]) == (None, "refused")


def test_a_drop_tells_what_it_would_drop_and_what_it_dropped(eventpub: Command, spool: SpoolFolder) -> None:
    fill(spool, 3)
    drop = ("dead-letters", "drop", "--spool", spool.directory, "--all")
    code, told = read(eventpub, *drop)
    assert (code, told["dropped"], told["would_drop"]) == (1, 0, 3)
    assert read(eventpub, *drop, "--yes") == (0, {"dropped": 3, "kept": 0})


def test_a_repair_tells_a_line_for_each_flaw_and_each_slot(eventpub: Command, spool: SpoolFolder) -> None:
    path = spool.batch(1, [b'{"n":1}', b'{"n":2}'])
    damage(path, b'{"n":1}')
    repair = ("spool", "repair", "--spool", spool.directory, "--json")
    planned = eventpub(*repair)
    flaw = json.loads(planned.out)
    assert (planned.code, flaw["file"], flaw["damage"]) == (1, str(path), True)
    done = eventpub(*repair, "--apply")
    assert done.code == 0
    told, repaired = map(json.loads, done.out.splitlines())
    assert (told, repaired["slot"], repaired["repaired"]) == (flaw, str(path.parent), 1)
    assert (eventpub(*repair).out, eventpub(*repair).code) == ("", 0)


def test_commands_on_queues_tell_what_they_did(eventpub: Command, queue: MessageQueue) -> None:
    code, told = read(eventpub, "queue", "create", queue.name, "--max-messages", 5)
    assert (code, told["created"], told["max_messages"]) == (1, False, 10)
    assert "10 messages, not 5" in told["differences"]
    size = told["max_message_bytes"]
    resized = run(
        "queue", "resize", queue.name, "--max-messages", "9", "--json"
    )  # in a child: it blocks signals
    before = {"max_messages": 10, "max_message_size": size}
    assert (resized.code, json.loads(resized.out)) == (
        0,
        {"queue": queue.name, "before": before, "now": {**before, "max_messages": 9}},
    )
    put = run("put", queue.name, "{}", "[]", "--json")  # likewise
    assert (put.code, json.loads(put.out)) == (1, {"put": 1, "not_put": 1, "stopped_at": None})
    kept = {"queue": queue.name, "dropped": False, "waiting": 1}
    assert read(eventpub, "queue", "drop", queue.name) == (1, kept)
    code, told = read(eventpub, "queue", "drop", queue.name, "--yes")
    assert (code, told["dropped"], told["waiting"]) == (0, True, 1)
