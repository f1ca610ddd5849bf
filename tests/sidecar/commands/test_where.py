"""`eventpub where`: one event is found wherever it is, and what is said of it is the case."""

from __future__ import annotations

import json

import pytest
from support.collector_process import CollectorProcess
from support.commands import Command, SpoolFolder
from support.rigs import Run
from support.waiting import wait_until

UUID = "11111111-2222-4333-8444-555555555555"
OTHER = "99999999-2222-4333-8444-555555555555"
EVENT = json.dumps({"name": "test", "uuid": UUID}).encode()


@pytest.mark.parametrize("event", [EVENT, b'{"1":{"i64":1},"5":{"str":"%s"}}' % UUID.upper().encode()])
@pytest.mark.parametrize(
    ("suffix", "said"), [("", "in the spool since 20"), (".open", "in the open batch since 20")]
)
def test_an_event_on_disk_is_found_with_its_batch_and_what_comes_next(
    eventpub: Command, spool: SpoolFolder, event: bytes, suffix: str, said: str
) -> None:
    path = spool.batch(1, [b"{}", event], suffix=suffix)
    done = eventpub("where", UUID, "--spool", spool.directory)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(said)
    assert f"  where     {path}\n" in done.out
    assert "event 2 of 2" in done.out
    assert "  next      delivered once a sidecar of queue q starts, for nobody holds slot 0: " in done.out


def test_a_dead_letter_is_found_with_its_reason_and_the_command_that_shows_it(
    eventpub: Command, spool: SpoolFolder
) -> None:
    spool.letter(EVENT, batch_id="ab" * 16, index=3)
    done = eventpub("where", UUID, "--spool", spool.directory)
    assert done.code == 0
    assert "refused with 422: rejected: n: bad" in done.out
    assert f"eventpub dead-letters show --queue-name q --spool {spool.directory} abababababab-3" in done.out
    shown = eventpub("dead-letters", "show", "--queue-name", "q", "--spool", spool.directory, "abababababab-3")
    assert shown.code == 0


def test_what_is_not_found_is_answered_with_where_it_was_looked_for(
    eventpub: Command, spool: SpoolFolder
) -> None:
    spool.batch(1, [b"{}", b"{}"])
    spool.letter(b"{}", batch_id="ab" * 16)
    done = eventpub("where", UUID, "--spool", spool.directory)
    assert done.code == 1
    assert f"not found: {UUID}; looked through 2 events in 1 batch and 1 dead letter:" in done.out
    assert f"  {spool.queue}: the spool and the dead letters\n  queue q: is not there\n" in done.out
    assert "name it: --store collector.ini" in done.out


def test_another_event_that_mentions_it_is_not_taken_for_it(eventpub: Command, spool: SpoolFolder) -> None:
    spool.batch(1, [json.dumps({"uuid": OTHER, "parent": UUID}).encode()])
    done = eventpub("where", UUID, "--spool", spool.directory, "--json")
    document = json.loads(done.out)
    assert (done.code, document["found"]) == (1, False)
    assert document["sightings"][0]["is_mention"] is True
    assert document["searched"] == {"batches": 1, "events": 1, "dead_letters": 0}


def test_a_word_that_is_no_uuid_is_a_wrong_command_line(eventpub: Command) -> None:
    done = eventpub("where", "nonsense")
    assert (done.code, "'nonsense' is not an event's uuid" in done.err) == (64, True)


def test_an_event_is_followed_from_the_spool_into_the_store(
    eventpub: Command, run: Run, collector: CollectorProcess
) -> None:
    collector.configure(keys={"test": b"hunter2"})
    collector.stop()
    sidecar = run()
    sidecar.put(EVENT)
    place = ("where", UUID, "--queue-name", sidecar.queue_name, sidecar.config)
    wait_until(lambda: "in the spool since" in eventpub(*place).out, "it is in the spool")
    assert eventpub(*place).code == 0
    collector.start()
    wait_until(collector.events, "it is stored")
    wait_until(lambda: not sidecar.batches(), "its file is removed")
    assert eventpub(*place).code == 1
    stored = eventpub(*place, "--store", collector.config_path)
    assert stored.code == 0
    assert stored.out.startswith("in the collector's store since 20")
    assert "  next      nothing: the collector has it" in stored.out
    missing = eventpub(*place, "--store", "sqlite:/nowhere/events.sqlite")
    assert missing.code == 2
    assert "not looked at" in missing.out
