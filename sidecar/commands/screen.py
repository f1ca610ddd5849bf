"""An overview in words: one screen on a terminal of 80 columns, a fact a line in a pipe."""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

from eventpub.cli.terminal import say, say_styled
from eventpub.cli.wording import count_noun, format_duration, format_size
from eventpub.queue.kernel_limits import UNLIMITED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventpub.sidecar.status.record import StatusRecord

    from .overview import Budget, Overview, Service, SlotSight
    from .queue_sight import QueueSight

_LABEL_WIDTH = 12
_INDENT = " " * _LABEL_WIDTH


def show_overview(overview: Overview) -> None:
    """Print all queues, their slots, and who holds RLIMIT_MSGQUEUE."""
    names = [service.queue.name for service in overview.services]
    for service in overview.services:
        say("")
        place = f" in {service.spool.parent}" if service.spool else ""
        say_styled(service.queue.name, "bold", place if names.count(service.queue.name) > 1 else "")
        for label, text in _describe_service(service, overview.taken_at):
            say_labelled(label, text)
    if overview.budgets:
        say("")
        say_styled("RLIMIT_MSGQUEUE", "bold", ", which all queues of a user share")
        for budget in overview.budgets:
            say_labelled(budget.user, _describe_budget(budget))


def say_folded(head: str, style: str, text: str) -> None:
    """Print a styled head and a text, folded where this is a terminal."""
    if not sys.stdout.isatty():
        say_styled(head, style, text)
        return
    first, *rest = textwrap.wrap(head + text, _find_width(), subsequent_indent="  ", break_on_hyphens=False)
    say_styled(head.rstrip(), style, first[len(head.rstrip()) :])
    for line in rest:
        say(line)


def say_labelled(label: str, text: str) -> None:
    """Print a label and a text, folded where this is a terminal."""
    head = f"  {label}".ljust(_LABEL_WIDTH) + ("" if len(label) < _LABEL_WIDTH - 2 else " ")
    if not sys.stdout.isatty():
        say(head + text)
        return
    say(
        textwrap.fill(
            text, _find_width(), initial_indent=head, subsequent_indent=_INDENT, break_on_hyphens=False
        )
    )


def _find_width() -> int:
    return max(40, shutil.get_terminal_size().columns)


def _describe_service(service: Service, now: float) -> Iterator[tuple[str, str]]:
    yield "queue", _describe_queue(service.queue)
    users = [str(user) for user in service.queue.open_in if not user.removed]
    yield "open in", ", ".join(users) or "no process that this user may inspect"
    for slot in service.slots:
        yield from _describe_slot(slot, now)
    if not service.slots and not service.error:
        yield "sidecar", "none has ever run for this queue, as far as this user can see"
    if service.error:
        yield "spool", service.error
    if service.dead_letters is not None and service.slots:
        yield "dead", count_noun(service.dead_letters, "dead letter")


def _describe_queue(queue: QueueSight) -> str:
    if queue.error:
        return queue.error
    return (
        f"{queue.depth:,} of {count_noun(queue.capacity, 'event')} wait, each of up to "
        f"{format_size(queue.message_bytes)}; {queue.owner}"
    )


def _describe_slot(slot: SlotSight, now: float) -> Iterator[tuple[str, str]]:
    asked, record = slot.asked, slot.asked.record
    label, pid = f"slot {slot.number}", f"pid {asked.pid}" if asked.pid else "no process"
    if record is None:
        left = slot.backlog
        on_disk = (
            "" if left is None else f"; {count_noun(left.events, 'event')} on disk, {format_size(left.bytes)}"
        )
        yield label, f"{asked.condition.value}, {pid}: {asked.words}{on_disk}"
        return
    since = "" if record.since is None else f" for {format_duration(max(0.0, now - record.since))}"
    why = "" if record.state == "refused" else record.why  # the verdict and the next line have it
    yield label, f"{record.state}{since}, {pid}{': ' if why else ''}{why}"
    yield "collector", _describe_delivery(record, now)
    yield "spool", _describe_spool(record, now)
    books = record.ledger
    yield (
        "ledger",
        f"received {books.received:,} + recovered {books.recovered:,} = delivered {books.delivered:,} + dead "
        f"{books.dead:,} + dropped {books.dropped:,} + spooled {books.spooled:,}"
        + (f"; UNACCOUNTED {books.unaccounted:,}" if books.unaccounted else ""),
    )


def _describe_delivery(record: StatusRecord, now: float) -> str:
    delivery = record.delivery
    parts = [delivery.url]
    if delivery.last_success_at is None:
        parts.append("has accepted nothing yet")
    else:
        parts.append(f"accepted {format_duration(max(0.0, now - delivery.last_success_at))} ago")
    if last := delivery.last_refusal:
        outcome = f"{last.status}" if last.status is not None else last.kind
        ago = format_duration(max(0.0, now - last.at))
        parts.append(f"last failure {ago} ago: {outcome}: {last.words}")
    if delivery.next_attempt_at is not None and delivery.failing_since is not None:
        parts.append(f"next attempt in {max(0.0, delivery.next_attempt_at - now):.0f} s")
    if (offset := delivery.clock_offset_seconds) is not None:
        parts.append(f"clock {round(offset):+d} s")
    return "; ".join(parts)


def _describe_spool(record: StatusRecord, now: float) -> str:
    spool = record.spool
    text = f"{count_noun(spool.events, 'event')} in {count_noun(spool.batches, 'batch', 'batches')}, "
    text += f"{format_size(spool.size_bytes)} of {format_size(spool.limit_bytes)}"
    if spool.oldest_at is not None:
        text += f", the oldest {format_duration(max(0.0, now - spool.oldest_at))} old"
    return text + (f"; {spool.open_events:,} in the open batch" if spool.open_events else "")


def _describe_budget(budget: Budget) -> str:
    limit = budget.limit_bytes
    if limit is None:
        of = "; no process that this user may inspect shows the limit"
    else:
        of = " of unlimited" if limit == UNLIMITED else f" of {format_size(limit)}"
    return f"{format_size(budget.taken_bytes)}{of}" + (f": {budget.held}" if budget.held else "")
