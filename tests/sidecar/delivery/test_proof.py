"""When a refusal proves that events are bad."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventpub.sidecar.delivery.proof import MAX_GUESSES, Proof
from eventpub.sidecar.spool.batch import Batch


@pytest.fixture
def proof() -> Proof:
    return Proof()


def failed(proof: Proof) -> Batch:
    return Batch(Path("000000000001.1.batch"), 1, 100, failed_at=proof.now)


def test_first_refusal_proves_nothing(proof: Proof) -> None:
    proof.accepted()
    assert not proof.covers(Batch(Path("000000000001.1.batch"), 1, 100), proof.now)


def test_refusal_is_proven_by_what_is_accepted_after_one_and_before_the_next_is_sent(proof: Proof) -> None:
    batch = failed(proof)
    assert not proof.covers(batch, proof.now)
    proof.accepted()
    assert proof.covers(batch, proof.now)


def test_what_was_on_its_way_when_others_were_accepted_is_not_proven(proof: Proof) -> None:
    """A firewall may have refused it before it was mended."""
    batch = failed(proof)
    sent_at = proof.now
    proof.accepted()
    assert not proof.covers(batch, sent_at)


def test_outage_after_what_was_accepted_ends_the_proof(proof: Proof) -> None:
    batch = failed(proof)
    proof.accepted()
    sent_at = proof.now
    proof.broke_off()
    assert not proof.covers(batch, sent_at)
    proof.accepted()
    assert proof.covers(batch, proof.now)


def test_guesses_are_bounded_until_something_is_accepted(proof: Proof) -> None:
    for _ in range(2):
        assert [proof.guess() for _ in range(MAX_GUESSES + 2)] == [True] * MAX_GUESSES + [False] * 2
        proof.accepted()


def refuse(proof: Proof, batch: Batch) -> bool:
    """Have a batch refused that is sent now; tell whether its event is bad."""
    proof.refused(batch, proof.now)
    return proof.is_bad(batch)


def test_event_is_bad_that_is_refused_three_times_while_others_are_accepted(proof: Proof) -> None:
    batch, bystander = failed(proof), failed(proof)
    seen = []
    for _ in range(3):
        proof.accepted()
        refuse(proof, bystander)
        seen.append(refuse(proof, batch))
    assert seen == [False, False, True]


def test_event_is_bad_that_alone_is_refused_again_and_again_where_nothing_else_is_sent(proof: Proof) -> None:
    batch = failed(proof)
    proof.accepted()
    assert [refuse(proof, batch) for _ in range(3)] == [False, False, True]


def test_event_is_not_bad_while_others_are_refused_for_the_first_time(proof: Proof) -> None:
    """A gateway has come between: one acceptance, and then everything is refused."""
    batch = failed(proof)
    proof.accepted()
    for n in range(20):
        proof.refused(Batch(Path(f"{n:012d}.1.batch"), 1, 100), proof.now)
        assert not refuse(proof, batch)


def test_event_is_not_bad_after_an_outage_until_others_are_accepted(proof: Proof) -> None:
    batch = failed(proof)
    proof.accepted()
    refuse(proof, batch)
    proof.broke_off()
    assert not any(refuse(proof, batch) for _ in range(20))
    proof.accepted()
    assert refuse(proof, batch)


def test_event_is_not_bad_that_was_never_refused_while_others_were_accepted(proof: Proof) -> None:
    batch = failed(proof)
    assert not any(refuse(proof, batch) for _ in range(20))


def test_collector_is_doubted_after_a_row_of_refusals(proof: Proof) -> None:
    for _ in range(8):
        proof.refused(failed(proof), proof.now)
        assert not proof.is_doubtful
    proof.refused(failed(proof), proof.now)
    assert proof.is_doubtful
    proof.accepted()
    assert not proof.is_doubtful
