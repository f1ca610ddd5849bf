"""What becomes of each event of a batch that is refused."""

from __future__ import annotations

import pytest

from eventpub import wire
from eventpub.sidecar.delivery.answer import Answer, Rejection
from eventpub.sidecar.delivery.refusal import Sorted, sort_out
from eventpub.sidecar.spool.dead_letters import Cause
from eventpub.sidecar.telemetry.reasons import DeadReason
from eventpub.sidecar.telemetry.verdicts import Verdict

HALVES = Sorted([range(2), range(2, 5)], {})


def refused(status: int = 422, *named: int, error: str = "invalid_events") -> Answer:
    rejected = tuple(Rejection(index, f"bad {index}") for index in named)
    return Answer(status, "http", "no", rejected=rejected, error=error)


def test_events_that_our_collector_names_are_dead_and_the_others_go_together() -> None:
    plan = sort_out(5, refused(422, 3, 1), Verdict.BISECT, is_proven=False)
    assert plan is not None
    assert plan.groups == [[0, 2, 4]]
    assert plan.buried == {
        1: Cause(DeadReason.REJECTED, 422, "bad 1"), 3: Cause(DeadReason.REJECTED, 422, "bad 3"),
    }  # fmt: skip


@pytest.mark.parametrize("is_proven", [True, False])
def test_events_that_somebody_else_names_are_only_taken_apart(*, is_proven: bool) -> None:
    plan = sort_out(5, refused(422, 3, 1, error="no"), Verdict.BISECT, is_proven=is_proven)
    assert plan == Sorted([[0, 2, 4], [1, 3]], {})


@pytest.mark.parametrize("error", sorted(wire.EVENT_ERRORS))
def test_event_that_our_collector_has_read_alone_is_dead_without_proof(error: str) -> None:
    ours, others = (Answer(400, "http", "no", batch_id=named, error=error) for named in ("aa", ""))
    buried = {0: Cause(DeadReason.REJECTED, 400, "no")}
    assert sort_out(1, ours, Verdict.BISECT, is_proven=False) == Sorted([], buried)
    assert sort_out(5, ours, Verdict.BISECT, is_proven=False) == HALVES
    assert sort_out(1, others, Verdict.BISECT, is_proven=False) is None


def test_batch_whose_events_are_all_named_leaves_no_other() -> None:
    plan = sort_out(1, refused(422, 0), Verdict.BISECT, is_proven=False)
    assert plan == Sorted([], {0: Cause(DeadReason.REJECTED, 422, "bad 0")})


def test_places_that_the_batch_does_not_have_are_no_names() -> None:
    assert sort_out(5, refused(422, 5), Verdict.BISECT, is_proven=False) == HALVES


@pytest.mark.parametrize("is_proven", [True, False])
def test_batch_that_is_refused_as_a_whole_is_halved(*, is_proven: bool) -> None:
    for answer, verdict in ((refused(400), Verdict.BISECT), (refused(413), Verdict.HALVE)):
        assert sort_out(5, answer, verdict, is_proven=is_proven) == HALVES


@pytest.mark.parametrize(
    ("status", "verdict", "reason"),
    [
        (400, Verdict.BISECT, DeadReason.REJECTED),
        (422, Verdict.BISECT, DeadReason.REJECTED),
        (413, Verdict.HALVE, DeadReason.TOO_LARGE),
    ],
)
def test_event_that_is_refused_alone_is_dead_with_proof_and_waits_without(
    status: int, verdict: Verdict, reason: DeadReason
) -> None:
    answer = refused(status)
    buried = {0: Cause(reason, status, "no")}
    assert sort_out(1, answer, verdict, is_proven=True) == Sorted([], buried)
    assert sort_out(1, answer, verdict, is_proven=False) is None


@pytest.mark.parametrize("verdict", [Verdict.RETRY, Verdict.MISCONFIGURED])
def test_batch_that_keeps_failing_is_halved_and_its_events_are_never_dead(verdict: Verdict) -> None:
    assert sort_out(5, refused(500), verdict, is_proven=True) == HALVES
    assert sort_out(1, refused(500), verdict, is_proven=True) is None


def test_event_whose_batch_was_taken_apart_is_not_dead() -> None:
    answer = refused(409, error="taken_apart")
    assert sort_out(5, answer, Verdict.HALVE, is_proven=False) == HALVES
    assert sort_out(1, answer, Verdict.HALVE, is_proven=True) is None


def test_loss_report_is_dead_for_a_reason_of_its_own() -> None:
    for answer, verdict in ((refused(422, 0), Verdict.BISECT), (refused(413), Verdict.HALVE)):
        plan = sort_out(1, answer, verdict, is_proven=True, is_report=True)
        assert plan is not None
        assert plan.buried[0].reason is DeadReason.REPORT
