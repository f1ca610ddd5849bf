"""What is wrong on a host: an overview -> findings, the worst first, and the verdict.

| level    | when                                                                                            |
|----------|-------------------------------------------------------------------------------------------------|
| FAILING  | events are not delivered, or cannot be put: no sidecar, one that hangs or pauses, a full queue   |
| DEGRADED | something needs a look: the collector fails for now, dead letters, losses, a queue that fills    |
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventpub.cli.findings import Finding, Level
from eventpub.cli.host import MOUNT_COMMAND
from eventpub.cli.wording import count_noun, format_duration
from eventpub.sidecar.status.ask import Condition

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventpub.sidecar.status.record import StatusRecord

    from .overview import Overview, Service, SlotSight
    from .queue_sight import QueueSight

WORDS = {Level.OK: "OK", Level.WARNING: "DEGRADED", Level.FAILING: "FAILING"}
_FILLING = 0.8  # of the queue, as doctor has it
_SPOOL_FILLING = 0.7  # of spool.max_size, as docs/operating.md alerts
_PASSING_TROUBLES = frozenset({"clock", "letters"})  # events are delivered all the same
_DELIVERY_TROUBLES = frozenset({"refused", "overdue", "frozen"})  # whose words have what the collector says
_NO_KEY = "key"  # the kind of an attempt that was not made, since key.secret_file cannot be read
_LIVE = (Condition.RUNNING, Condition.HUNG, Condition.SILENT, Condition.DENIED)


def judge_host(overview: Overview) -> list[Finding]:
    """Return what is wrong, the worst first; nothing if all is well."""
    if not overview.services and not overview.lists_queues:
        text = "nothing was found, but no mqueue file system shows which queues there are"
        remedy = f"eventpub status CONFIG.ini looks at what it names; or mount it, as root: {MOUNT_COMMAND}"
        return [Finding(Level.WARNING, text, remedy)]
    served = {service.queue.name for service in overview.services if _has_sidecar(service)}
    found = [
        finding
        for service in overview.services
        for finding in _judge_service(service, overview.taken_at, served)
    ]
    return sorted(found, key=lambda finding: -finding.level.value)


def _judge_service(service: Service, now: float, served: set[str]) -> Iterator[Finding]:
    name = service.queue.name
    if service.error:
        yield Finding(Level.WARNING, f"{name}: {service.error}")
    for slot in service.slots:
        where = f"{name}, slot {slot.number}" if len(service.slots) > 1 else name
        if slot.asked.record:
            yield from judge_record(slot.asked.record, where, now)
        else:
            yield from judge_silence(slot, where, has_others=_has_sidecar(service))
    is_told = bool(service.error) or any(slot.asked.record for slot in service.slots)
    yield from judge_queue(service.queue, is_served=is_told)
    if not service.error and not _has_sidecar(service):
        left = sum(slot.backlog.events for slot in service.slots if slot.backlog)
        waiting = service.queue.depth + left
        if name in served:  # by a sidecar with another spool
            yield from _judge_left(service, left)
        elif service.is_wanted or waiting or not service.queue.is_missing:
            text = f"{name}: no sidecar runs; {count_noun(waiting, 'event')} wait{'s' * (waiting == 1)} for one"
            words = f"--queue-name {name} {service.config_file}" if service.config_file else "CONFIG.ini"
            remedy = (
                f"start it: systemctl start eventpub-sidecar@{name}, or eventpub sidecar {words}; "
                f"if it ends at once, eventpub doctor {words} says why"
            )
            if not service.config_file:
                remedy += "; where spool.dir is set, eventpub status CONFIG.ini counts what waits there"
            yield Finding(Level.FAILING, text, remedy)
    if service.dead_letters:
        place = f" --spool {service.spool.parent}" if service.spool else ""
        place = f" {service.config_file}" if service.config_file else place
        yield judge_letters(service.dead_letters, name, f"--queue-name {name}{place}")


def _judge_left(service: Service, count: int) -> Iterator[Finding]:
    """Judge what is in a spool that the sidecars of its queue do not use."""
    if count and service.spool:
        spool = service.spool.parent
        text = f"{service.queue.name}: {count_noun(count, 'event')} in {spool}, a spool that no sidecar uses"
        yield Finding(Level.WARNING, text, f"start a sidecar with spool.dir = {spool}, which delivers them")


def judge_letters(count: int, where: str, words: str) -> Finding:
    """Return the finding that a queue has dead letters; `words` tell the command which."""
    text = f"{where}: the collector refused {count_noun(count, 'event')} for good"
    return Finding(Level.WARNING, text, f"see: eventpub dead-letters list {words}")


def judge_record(record: StatusRecord, where: str, now: float) -> Iterator[Finding]:
    """Yield what a sidecar's own record says is wrong; `where` names the sidecar, `now` is the time of day."""
    for trouble in record.troubles:
        is_worst = trouble.is_blocking and trouble.code not in _PASSING_TROUBLES
        since = "" if trouble.since is None else f", for {format_duration(max(0.0, now - trouble.since))}"
        yield Finding(
            Level.FAILING if is_worst else Level.WARNING, f"{where}: {trouble.code}{since}: {trouble.words}"
        )
    delivery, ledger, spool = record.delivery, record.ledger, record.spool
    is_told = any(trouble.code in _DELIVERY_TROUBLES for trouble in record.troubles)
    if delivery.failing_since is not None and not is_told and delivery.last_refusal:
        last = delivery.last_refusal
        answer = f"answers {last.status}" if last.status is not None else f"gives no answer ({last.kind})"
        failing = "no batch can be signed" if last.kind == _NO_KEY else f"the collector {answer}"
        text = (
            f"{where}: {failing} for {format_duration(max(0.0, now - delivery.failing_since))}; "
            f"events are kept: {last.words}"
        )
        yield Finding(Level.WARNING, text, last.remedy)
    if spool.limit_bytes and spool.size_bytes > _SPOOL_FILLING * spool.limit_bytes and record.state != "paused":
        percent = 100 * spool.size_bytes // spool.limit_bytes
        yield Finding(Level.WARNING, f"{where}: the spool is filled to {percent} %", "raise spool.max_size")
    if ledger.dropped:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in ledger.dropped_by_reason.items())
        yield Finding(Level.WARNING, f"{where}: {count_noun(ledger.dropped, 'event')} lost: {reasons}")
    if ledger.unaccounted:
        text = f"{where}: {ledger.unaccounted:,} events are unaccounted for"
        yield Finding(Level.FAILING, text, "a bug of the sidecar: please report it with its log")


def judge_silence(slot: SlotSight, where: str, *, has_others: bool) -> Iterator[Finding]:
    """Judge a slot whose sidecar says nothing."""
    asked, pid = slot.asked, slot.asked.pid
    if asked.condition is Condition.HUNG:
        remedy = (
            f"kill -CONT {pid} if it was stopped on purpose; otherwise kill -KILL {pid}: nothing is lost"
            if pid
            else ""
        )
        yield Finding(
            Level.FAILING, f"{where}: the sidecar{f' {pid}' if pid else ''} hangs: {asked.words}", remedy
        )
    elif asked.condition in (Condition.SILENT, Condition.DENIED, Condition.RUNNING):
        yield Finding(Level.WARNING, f"{where}: {asked.words}")
    elif has_others and slot.backlog and slot.backlog.events:
        text = f"{where}: a sidecar that ended has left {count_noun(slot.backlog.events, 'event')} there"
        yield Finding(Level.WARNING, text, "the next sidecar that starts takes them over: restart one of them")


def judge_queue(queue: QueueSight, *, is_served: bool) -> Iterator[Finding]:
    """Judge a kernel queue; that it cannot be looked at says nothing of one whose sidecar tells of it."""
    if queue.error and not queue.is_missing and not is_served:
        yield Finding(Level.WARNING, f"{queue.name}: {queue.error}")
    if queue.capacity and queue.depth >= queue.capacity:
        yield Finding(
            Level.FAILING, f"{queue.name}: the queue is full ({queue.depth:,}), so put refuses events"
        )
    elif queue.capacity and queue.depth >= _FILLING * queue.capacity:
        yield Finding(Level.WARNING, f"{queue.name}: the queue fills: {queue.depth:,} of {queue.capacity:,}")
    if removed := [str(user) for user in queue.open_in if user.removed]:
        text = f"{queue.name}: {', '.join(removed)} still has a removed queue of that name open"
        yield Finding(Level.WARNING, text, "eventpub switches with its next event; restart other programs")


def _has_sidecar(service: Service) -> bool:
    return any(slot.asked.condition in _LIVE for slot in service.slots)
