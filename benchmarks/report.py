"""The table of results: one row a measurement, with what the peer takes, what eventpub takes, and the goal."""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace

HEADINGS = ("measurement", "peer", "eventpub", "result", "goal", "")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; `verdict` is empty where there is no goal."""

    measurement: str
    peer: str
    eventpub: str
    result: str = ""
    goal: str = ""
    verdict: str = ""


def ratio(measurement: str, times: float, goal_times: float | None, *, peer: str, eventpub: str) -> Row:
    """Return the row of a ratio that should be at least `goal_times`, where there is a goal."""
    row = Row(measurement, peer, eventpub, f"{times:.1f} x")
    if goal_times is None:
        return row
    return replace(row, goal=f">= {goal_times:g} x", verdict=_verdict(times >= goal_times))


def at_most_times(measurement: str, times: float, goal_times: float, *, peer: str, eventpub: str) -> Row:
    """Return the row of a ratio, ours to the peer's, that should be at most `goal_times`."""
    met = _verdict(times <= goal_times)
    return Row(measurement, peer, eventpub, f"{times:.2f} x", f"<= {goal_times:g} x", met)


def at_most(measurement: str, goal: float, value: float, unit: str, *, peer: str = "") -> Row:
    """Return the row of a quantity of eventpub's that should be at most `goal`."""
    return Row(measurement, peer, f"{value:.0f} {unit}", "", f"<= {goal:g} {unit}", _verdict(value <= goal))


def table(rows: list[Row]) -> str:
    """Return the rows as text in columns, which is a Markdown table too."""
    lines = [HEADINGS, *(astuple(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join("| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines)


def _verdict(met: bool) -> str:  # noqa: FBT001, a plain fact
    return "met" if met else "MISSED"
