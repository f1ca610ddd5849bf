"""What becomes of each event of a batch that is refused."""

from __future__ import annotations

from eventpub.sidecar.delivery.answer import Answer, Rejection
from eventpub.sidecar.delivery.refusal import Sorted, sort_out
from eventpub.sidecar.spool.dead_letters import Cause
from eventpub.sidecar.telemetry.losses import Losses
from eventpub.sidecar.telemetry.reasons import DeadReason
from eventpub.sidecar.telemetry.verdicts import Verdict

EVENTS = [b'{"n":%d}' % n for n in range(5)]
REPORT = Losses().event("2j", "v2j")


def refused(status: int = 422, *named: int) -> Answer:
    return Answer(status, "http", "no", rejected=tuple(Rejection(index, f"bad {index}") for index in named))


def test_events_that_are_named_are_dead_and_the_others_go_together() -> None:
    groups, buried = sort_out(EVENTS, refused(422, 3, 1), Verdict.BISECT)
    assert groups == [[0, 2, 4]]
    assert buried == {1: Cause(DeadReason.REJECTED, 422, "bad 1"), 3: Cause(DeadReason.REJECTED, 422, "bad 3")}


def test_batch_whose_events_are_all_named_leaves_no_other() -> None:
    assert sort_out(EVENTS[:1], refused(422, 0), Verdict.BISECT).groups == []


def test_places_that_the_batch_does_not_have_are_no_names() -> None:
    assert sort_out(EVENTS, refused(422, 5), Verdict.BISECT) == Sorted([range(2), range(2, 5)], {})


def test_batch_that_is_refused_as_a_whole_is_halved() -> None:
    for answer, verdict in ((refused(400), Verdict.BISECT), (refused(413), Verdict.HALVE)):
        assert sort_out(EVENTS, answer, verdict) == Sorted([range(2), range(2, 5)], {})


def test_event_that_is_refused_alone_is_dead() -> None:
    for answer, verdict, reason in (
        (refused(400), Verdict.BISECT, DeadReason.REJECTED),
        (refused(413), Verdict.HALVE, DeadReason.TOO_LARGE),
    ):
        assert sort_out(EVENTS[:1], answer, verdict) == Sorted([], {0: Cause(reason, answer.status, "no")})


def test_loss_report_is_dead_for_a_reason_of_its_own() -> None:
    for answer, verdict in ((refused(422, 0), Verdict.BISECT), (refused(413), Verdict.HALVE)):
        _, buried = sort_out([REPORT], answer, verdict)
        assert buried[0].reason is DeadReason.REPORT
