"""The columns of `eventpub top`: what stands in them, and what they are sorted by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from eventpub.cli.wording import format_duration
from eventpub.printable import escape_controls

from .sampling import draw_sparkline

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .sampling import SidecarRow

_SPARKLINE_WIDTH = 7


class Column(NamedTuple):
    """One column.

    Attributes:
        title: its head.
        write: returns the text of a row.
        key: returns what to sort by; numbers come with the largest first.
        width: how wide it is.
    """

    title: str
    write: Callable[[SidecarRow], str]
    key: Callable[[SidecarRow], Any]
    width: int


def write_name(row: SidecarRow) -> str:
    """Return the name of a sidecar: its queue and its slot."""
    return f"{escape_controls(row.queue)}/{row.number}"


def _write_rate(rate: float | None) -> str:
    if rate is None:
        return "-"
    return f"{rate:.1f}" if 0 < rate < 10 else f"{rate:,.0f}"  # noqa: PLR2004, below it digits after the point matter


def _write_queue(row: SidecarRow) -> str:
    if row.record is None or row.record.queue.depth_messages is None:
        return "-"
    return f"{row.depth:,}/{row.record.queue.capacity_messages:,}"


def _write_spool(row: SidecarRow) -> str:
    if row.record is None:
        return "-"
    spool = row.record.spool
    share = f" {spool.size_bytes / spool.limit_bytes:.0%}" if spool.limit_bytes and spool.events else ""
    return f"{spool.events:,}{share}"


def _write_oldest(row: SidecarRow) -> str:
    return format_duration(row.oldest_seconds) if row.oldest_seconds >= 1 else "-"


def _write_dead(row: SidecarRow) -> str:
    return f"{row.dead_letters:,}" if row.record else "-"


def _draw_delivered(row: SidecarRow) -> str:
    return draw_sparkline([rates.delivered for rates in row.rates], _SPARKLINE_WIDTH)


def _rank_state(row: SidecarRow) -> tuple[int, str]:
    return -row.level.value, row.state


COLUMNS: Sequence[Column] = (
    Column("SIDECAR", write_name, lambda row: (row.queue, row.number), 14),
    Column("STATE", lambda row: row.state, _rank_state, 8),
    Column("IN/s", lambda row: _write_rate(row.received_rate), lambda row: -(row.received_rate or 0), 7),
    Column("OUT/s", lambda row: _write_rate(row.delivered_rate), lambda row: -(row.delivered_rate or 0), 7),
    Column("OUT", _draw_delivered, lambda row: -sum(rates.delivered for rates in row.rates), _SPARKLINE_WIDTH),
    Column("QUEUE", _write_queue, lambda row: -row.depth, 9),
    Column("SPOOL", _write_spool, lambda row: -row.spooled, 8),
    Column("OLDEST", _write_oldest, lambda row: -row.oldest_seconds, 6),
    Column("DEAD", _write_dead, lambda row: -row.dead_letters, 4),
)
NUMBERS = frozenset(("IN/s", "OUT/s", "QUEUE", "SPOOL", "OLDEST", "DEAD"))  # aligned to the right


def choose_rows(
    rows: Sequence[SidecarRow], words: str = "", column: Column = COLUMNS[0], *, is_reversed: bool = False
) -> list[SidecarRow]:
    """Return the rows in which all of these words occur, sorted."""
    wanted = words.lower().split()
    chosen = [
        row
        for row in rows
        if all(word in f"{write_name(row)} {row.state} {row.trouble}".lower() for word in wanted)
    ]
    return sorted(chosen, key=column.key, reverse=is_reversed)
