"""`eventpub dead-letters replay`."""

from __future__ import annotations

import argparse
import base64
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.collector_process import CollectorProcess
from support.commands import QUEUE, Command, SpoolFolder, killed_in_a_child
from support.disks import KillingDisk
from support.letters import BATCH, NEW, OLD, OTHER, fill, place, stored, write_config
from support.paths import ROOT

from eventpub.sidecar.commands import letters
from eventpub.sidecar.commands.place import locate_spool
from eventpub.sidecar.commands.replay import run_replay
from eventpub.sidecar.delivery.proof import MAX_GUESSES


def test_replay_delivers_and_removes(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, config: Path
) -> None:
    events = fill(spool, 5)
    done = eventpub("dead-letters", "replay", *place(config), "--all")
    assert done == (0, "accepted 5, stayed 0\n", "")
    assert stored(collector) == events
    assert list(spool.dead.iterdir()) == []
    assert len(collector.requests()) == 1


def test_replay_of_some(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, config: Path
) -> None:
    fill(spool, 3)
    spool.letter(b'{"n":"large"}', batch_id=OTHER, reason="too_large")
    assert eventpub("dead-letters", "replay", *place(config), f"{BATCH}-1").code == 0
    assert eventpub("dead-letters", "replay", *place(config), "--reason", "too_large").code == 0
    assert stored(collector) == [{"n": "large"}, {"n": 1}]
    assert len(list(spool.dead.iterdir())) == 2


def test_dry_run_sends_and_changes_nothing(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, config: Path
) -> None:
    fill(spool, 3)
    before = spool.files()
    done = eventpub("dead-letters", "replay", *place(config), "--all", "--dry-run")
    assert done == (0, f"would send 3 events in 1 batch to {collector.url}/v2j, would keep 0\n", "")
    assert spool.files() == before
    assert collector.requests() == []


def test_replay_sends_batches_of_bounded_size(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, tmp_path: Path
) -> None:
    config = write_config(tmp_path / "small.ini", spool, collector.hostname, batch_max_size="110 KiB")
    for index in range(10):
        spool.letter(b'{"n":%d,"pad":"%s"}' % (index, b"x" * 30_000), batch_id=BATCH, index=index)
    assert eventpub("dead-letters", "replay", *place(config), "--all").code == 0
    assert len(collector.requests()) == 4
    assert len(stored(collector)) == 10


def test_replay_signs_with_the_key_of_today(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(base64.b64encode(OLD).decode())
    config = write_config(
        tmp_path / "a.ini", spool, collector.hostname, key_secret="", key_secret_file=str(secret)
    )
    events = fill(spool, 2)
    refused = eventpub("dead-letters", "replay", *place(config), "--all")
    assert refused.code == 2
    assert "rejects this key: check key.name, key.secret and key.signature" in refused.err
    assert len(list(spool.dead.glob("*.json"))) == 2
    secret.write_text(base64.b64encode(NEW).decode())
    assert eventpub("dead-letters", "replay", *place(config), "--all").code == 0
    assert stored(collector) == events


@pytest.mark.parametrize("fault", [{"accept_then": "close"}, {"half_answer": True}], ids=["lost", "half"])
def test_replay_repeated_after_its_answer_was_lost_is_stored_once(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, config: Path, fault: dict[str, Any]
) -> None:
    events = fill(spool, 3)
    collector.set_faults([fault])
    lost = eventpub("dead-letters", "replay", *place(config), "--all")
    assert lost.code == 2
    assert "then repeat the replay: the collector recognises what it has already" in lost.err
    spool.letter(b'{"n":"new"}', batch_id="0" * 32)  # sorts before the others, and would be in their batch
    assert eventpub("dead-letters", "replay", *place(config), "--all").code == 0
    assert stored(collector) == [{"n": "new"}, *events]
    assert list(spool.dead.iterdir()) == []


def test_replay_of_one_letter_finishes_what_was_interrupted_first(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, config: Path
) -> None:
    events = fill(spool, 3)
    collector.set_faults([{"accept_then": "close"}])
    eventpub("dead-letters", "replay", *place(config), "--all")
    assert eventpub("dead-letters", "replay", *place(config), f"{BATCH}-1").code == 0
    assert stored(collector) == events
    assert list(spool.dead.iterdir()) == []


def test_replay_killed_at_any_change_of_the_disk_is_finished_by_the_next(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, config: Path
) -> None:
    events: list[dict[str, str]] = []

    def replay(disk: KillingDisk) -> None:
        options = argparse.Namespace(spool=None, config_file=str(config), queue_name=QUEUE)
        run_replay(locate_spool(options), letters.find_letters(spool.queue)[0], dry_run=False, disk=disk)

    for step in itertools.count(1):
        for index in range(3):
            event = {"s": f"{step:02}-{index}"}
            spool.letter(json.dumps(event).encode(), batch_id=f"{step:032x}", index=index)
            events.append(event)
        killed = killed_in_a_child(lambda step=step: replay(KillingDisk(step)))
        assert eventpub("dead-letters", "replay", *place(config), "--all").code == 0
        assert list(spool.dead.iterdir()) == []
        if not killed:
            break
    assert step > 8
    assert stored(collector) == sorted(events, key=str)


def test_letters_of_an_interrupted_replay_are_dropped_together_or_not_at_all(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, config: Path
) -> None:
    fill(spool, 3)
    collector.set_faults([{"accept_then": "close"}])
    eventpub("dead-letters", "replay", *place(config), "--all")
    one = eventpub("dead-letters", "drop", *place(config), f"{BATCH}-1", "--yes")
    assert (one.code, one.out) == (1, "dropped 0\n")
    assert f"finish it, `eventpub dead-letters replay --queue-name {QUEUE} {config} --all`" in one.err
    assert eventpub("dead-letters", "drop", *place(config), "--all", "--yes").out == "dropped 3\n"
    assert list(spool.dead.iterdir()) == []


def test_an_event_that_was_mended_by_hand_is_another_event(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, config: Path
) -> None:
    fill(spool, 1)
    collector.set_faults([{"accept_then": "close"}])
    eventpub("dead-letters", "replay", *place(config), "--all")
    spool.letter(b'{"n":"mended"}', batch_id=BATCH)
    done = eventpub("dead-letters", "replay", *place(config), "--all")
    assert done.code == 0
    assert "were removed or changed by hand" in done.err
    assert {"n": "mended"} in stored(collector)


def test_refused_events_stay_with_the_new_reason_and_the_rest_goes(
    eventpub: Command, spool: SpoolFolder, config: Path
) -> None:
    fill(spool, 3)
    bad = spool.letter(
        b'{"n":"\\ud800"}',
        batch_id=BATCH,
        index=3,
        reason="too_large",
        status=413,
        died_at="2020-02-02T00:00:00Z",
    )
    done = eventpub("dead-letters", "replay", *place(config), "--all")
    assert done.code == 1
    assert done.out.endswith("accepted 3, stayed 1\n")
    assert "stays: 0123456789ab-3 rejected 422: a text holds half of a surrogate pair" in done.out
    letter = json.loads(bad.read_bytes())
    assert (letter["reason"], letter["status"], letter["attempts"]) == ("rejected", 422, 2)
    assert letter["event"] == '{"n":"\\ud800"}'
    assert letter["died_at"] == "2020-02-02T00:00:00Z", (
        "when it died is no matter of how often it is sent again"
    )
    assert letter["refused_at"] > "2026"
    (listed,) = eventpub("dead-letters", "list", *place(config), "--json").out.splitlines()
    assert json.loads(listed)["refused_at"] == letter["refused_at"]
    assert [path.name for path in spool.dead.iterdir()] == [bad.name]


def test_bad_event_among_many_is_found_where_the_answer_does_not_name_it(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, config: Path
) -> None:
    fill(spool, 4)
    collector.set_faults([{"status": 400, "times": 3}])  # 0-3, 0-1, and 0
    done = eventpub("dead-letters", "replay", *place(config), "--all")
    assert (done.code, [path.name[-7:-5] for path in spool.dead.iterdir()]) == (1, ["00"])
    assert stored(collector) == [{"n": 1}, {"n": 2}, {"n": 3}]


def test_event_too_large_for_the_collector_stays_alone(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, config: Path
) -> None:
    fill(spool, 2)
    collector.set_faults([{"status": 413, "times": 2}])
    done = eventpub("dead-letters", "replay", *place(config), "--all")
    assert done.code == 1
    assert "too_large 413" in done.out
    assert stored(collector) == [{"n": 1}]


def test_a_coding_that_the_collector_refuses_is_not_used_again(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, config: Path
) -> None:
    events = fill(spool, 2)
    collector.set_faults([{"status": 415}])
    assert eventpub("dead-letters", "replay", *place(config), "--all").code == 0
    assert stored(collector) == events


def test_a_message_that_is_no_event_is_never_sent(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, config: Path
) -> None:
    spool.letter(b'{"n":1},{"n":2}', batch_id=OTHER, reason="malformed", status=None)
    events = fill(spool, 1)
    done = eventpub("dead-letters", "replay", *place(config), "--all")
    assert done.code == 1
    assert "stays: fedcba987654-0 it is not one JSON object" in done.out
    assert stored(collector) == events


def test_replay_without_a_collector_keeps_everything(
    eventpub: Command, spool: SpoolFolder, tmp_path: Path
) -> None:
    fill(spool, 2)
    config = write_config(tmp_path / "example.ini", spool, "127.0.0.1:1")
    done = eventpub("dead-letters", "replay", *place(config), "--all")
    assert (done.code, done.out) == (2, "accepted 0, stayed 0\n")
    assert "http://127.0.0.1:1/v2j gave no answer (refused)" in done.err
    kept = letters.find_letters(spool.queue)[0]
    assert len(kept) == 2
    dropped = eventpub("dead-letters", "drop", *place(config), kept[0].id, "--yes")  # it is tied to no other
    assert (dropped.code, dropped.out) == (0, "dropped 1\n")


@pytest.mark.parametrize(
    "answer", [(503, "try again later"), (404, "the reply did not come from an eventpub collector")]
)
def test_replay_stops_at_an_answer_that_is_no_verdict(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, config: Path, answer: tuple[int, str]
) -> None:
    status, remedy = answer
    fill(spool, 2)
    collector.set_faults([{"status": status, "times": "forever"}])
    done = eventpub("dead-letters", "replay", *place(config), "--all")
    assert (done.code, len(collector.requests())) == (2, 1)
    assert f"answered {status}" in done.err
    assert remedy in done.err


def test_replay_needs_the_configuration(eventpub: Command, spool: SpoolFolder) -> None:
    done = eventpub("dead-letters", "replay", "--spool", spool.directory, "--all")
    assert done.code == 64
    assert "needs the CONFIG.ini with collector and key" in done.err


def test_two_replays_do_not_run_at_once(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, config: Path
) -> None:
    fill(spool, 1)
    with letters.lock_letters(spool.queue):
        for words in (("replay", *place(config), "--all"), ("drop", *place(config), "--all", "--yes")):
            done = eventpub("dead-letters", *words)
            assert done.code == 2
            assert "another replay or drop is running" in done.err
    assert collector.requests() == []


def test_what_would_block_within_a_replay_is_told_as_what_it_is(spool: SpoolFolder) -> None:
    fill(spool, 1)
    with pytest.raises(BlockingIOError), letters.lock_letters(spool.queue):
        raise BlockingIOError
    with letters.lock_letters(spool.queue):
        pass


def test_progress_is_shown_on_a_terminal_only(spool: SpoolFolder, config: Path) -> None:
    fill(spool, 2)
    reader, writer = os.openpty()
    command = [sys.executable, "-m", "eventpub", "dead-letters", "replay", *map(str, place(config)), "--all"]
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=writer, check=True)
    assert b"accepted 2, stayed 0, of 2" in os.read(reader, 4096)
    os.close(reader)
    os.close(writer)


# --- what is refused after it was stored, or by what is no collector


@pytest.mark.parametrize("refusal", [{"status": 413}, {"status": 400}, {"status": 422}], ids=str)
def test_replay_whose_answer_was_lost_and_that_is_then_refused_stores_nothing_twice(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, config: Path, refusal: dict[str, Any]
) -> None:
    """Parts name the batch that they are a part of, over several replays."""
    events = fill(spool, 5)
    words = ("dead-letters", "replay", *place(config), "--all")
    collector.set_faults([{"accept_then": "close"}, refusal, {"status": 503}])
    assert eventpub(*words).code == 2  # no answer
    assert eventpub(*words).code == 2  # refused, and the first of the parts gets 503
    assert eventpub(*words).code == 0
    assert sorted(event["n"] for event in stored(collector)) == [event["n"] for event in events]
    assert list(spool.dead.iterdir()) == []


def test_letters_are_sent_under_the_version_that_they_were_received_under(
    eventpub: Command, spool: SpoolFolder, collector: CollectorProcess, config: Path
) -> None:
    thrift = b'{"1":{"str":"shop"},"2":{"str":"buy"},"3":{"str":"tea"}}'
    for index, (event, version) in enumerate([(b'{"n":1}', "2j"), (thrift, "2"), (b'{"n":2}', None)]):
        spool.letter(event, batch_id=BATCH, index=index, version=version)
    assert eventpub("dead-letters", "replay", *place(config), "--all").code == 0
    assert {(row["version"], row["noun"]) for row in collector.events()} == {("2j", None), ("2", "tea")}
    assert len(stored(collector)) == 3


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"status": 400}, "look whether a proxy, a firewall or a gateway answers in the collector's place"),
        ({"status": 413}, "look whether a proxy, a firewall or a gateway answers in the collector's place"),
        (
            {"status": 400, "headers": {"Content-Type": "text/html"}, "body": "<html>no</html>"},
            "did not come from an eventpub collector",
        ),
        ({"status": 415}, "did not come from an eventpub collector"),
    ],
)
def test_replay_stops_where_everything_is_refused(  # noqa: PLR0917, fixtures
    eventpub: Command,
    spool: SpoolFolder,
    collector: CollectorProcess,
    config: Path,
    answer: dict[str, Any],
    said: str,
) -> None:
    events = fill(spool, 40)
    collector.set_faults([{**answer, "times": "forever"}])
    done = eventpub("dead-letters", "replay", *place(config), "--all")
    assert done.code == 2
    assert said in done.err
    assert len(collector.requests()) <= MAX_GUESSES + 1
    collector.set_faults([])
    assert eventpub("dead-letters", "replay", *place(config), "--all").code == 0
    assert sorted(event["n"] for event in stored(collector)) == [event["n"] for event in events]
