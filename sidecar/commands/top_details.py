"""What `eventpub top` says of one sidecar: three lines, or all of its record."""

from __future__ import annotations

import textwrap
import time
from typing import TYPE_CHECKING

from eventpub.cli.wording import count_noun, format_duration, format_size
from eventpub.printable import escape_controls

from .judgement import WORDS
from .sampling import draw_sparkline
from .top_columns import write_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventpub.sidecar.status.record import StatusRecord

    from .sampling import SidecarRow

_LABEL_WIDTH = 10


def describe_shortly(row: SidecarRow, width: int) -> str:
    """Return three lines: the rates, and what is wrong."""
    lines = [*_draw_rates(row, width), row.trouble or (_name_process(row.record) if row.record else "")]
    return "\n".join(line if len(line) <= width else line[: width - 1] + "…" for line in lines)


def describe_row(row: SidecarRow, width: int) -> str:
    """Return all that there is to say, in lines of at most `width` characters."""
    lines = [f"{write_name(row)}: {row.state}"]
    for finding in row.findings:
        lines += _put(WORDS[finding.level], f"{finding.text} {finding.remedy}".rstrip(), width)
    if row.record is None:
        lines += _put(row.asked.condition.value, row.asked.words, width)
        lines += _put("slot", str(row.slot), width)
        return "\n".join(lines)
    for label, words in _list_facts(row.record):
        lines += _put(label, words, width)
    return "\n".join([lines[0], *_draw_rates(row, width), "", *lines[1:]])


def _draw_rates(row: SidecarRow, width: int) -> list[str]:
    drawn = max(10, width - 36)
    lines = []
    for label, rates in (
        ("in", [rates.received for rates in row.rates]),
        ("out", [rates.delivered for rates in row.rates]),
    ):
        now, most = (rates[-1], max(rates)) if rates else (0.0, 0.0)
        lines.append(f"{label:<3} {now:>9,.0f}/s {draw_sparkline(rates, drawn)} most {most:>9,.0f}/s")
    return lines


def _put(label: str, words: str, width: int) -> list[str]:
    room = max(20, width - _LABEL_WIDTH)
    wrapped = textwrap.wrap(escape_controls(words), room) or [""]
    return [f"{label if not index else '':<{_LABEL_WIDTH}}{line}" for index, line in enumerate(wrapped)]


def _list_facts(record: StatusRecord) -> Iterator[tuple[str, str]]:
    queue, ledger, spool, delivery = record.queue, record.ledger, record.spool, record.delivery
    depth = "not open" if queue.depth_messages is None else f"{queue.depth_messages:,}"
    yield "queue", f"{depth} of {queue.capacity_messages:,} messages of {format_size(queue.message_size_bytes)}"
    if queue.open_in:
        yield "open in", ", ".join(f"{holder.command} ({holder.pid})" for holder in queue.open_in)
    yield (
        "ledger",
        (
            f"received {ledger.received:,} + recovered {ledger.recovered:,} = delivered {ledger.delivered:,} + "
            f"dead {ledger.dead:,} + dropped {ledger.dropped:,} + spooled {ledger.spooled:,}"
            + (f"; unaccounted {ledger.unaccounted:,}" if ledger.unaccounted else "")
        ),
    )
    yield (
        "spool",
        (
            f"{count_noun(spool.events, 'event')} in {count_noun(spool.batches, 'batch', 'batches')}, "
            f"{format_size(spool.size_bytes)} of {format_size(spool.limit_bytes)}; "
            f"{spool.open_events:,} in the open batch"
        ),
    )
    letters = record.dead_letters
    yield "dead", f"{count_noun(letters.count, 'letter')}, {format_size(letters.size_bytes)}"
    for reasons in (ledger.dead_by_reason, ledger.dropped_by_reason):
        if any(reasons.values()):
            yield "", ", ".join(f"{reason} {number:,}" for reason, number in reasons.items() if number)
    yield "collector", f"{delivery.url}; last success{_since(record, delivery.last_success_at) or ' never'}"
    if refusal := delivery.last_refusal:
        status = refusal.status or refusal.kind
        yield "refused", f"{status}: {refusal.words}{_since(record, refusal.at)} {refusal.remedy}".rstrip()
    if delivery.next_attempt_at:
        waits_seconds = max(0.0, delivery.next_attempt_at - record.taken_at)
        yield "", f"next attempt in {format_duration(waits_seconds)}"
    for stage in record.stages:
        doing = f"; {stage.doing} for {stage.doing_seconds or 0:.0f} s" if stage.doing else ""
        age = "" if stage.age_seconds is None else f", {format_duration(stage.age_seconds)} ago"
        yield stage.name, f"{stage.last or 'nothing yet'}{age}{doing}"
    yield "process", _name_process(record)
    yield "spool in", record.process.directory


def _name_process(record: StatusRecord) -> str:
    process = record.process
    up_seconds = max(0.0, record.taken_at - process.started_at)
    started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(process.started_at))
    return f"pid {process.pid}, {process.config_path}, up {format_duration(up_seconds)}, since {started}"


def _since(record: StatusRecord, at: float | None) -> str:
    return "" if at is None else f", {format_duration(max(0.0, record.taken_at - at))} ago"
