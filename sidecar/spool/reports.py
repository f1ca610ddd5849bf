"""Which loss reports a batch file holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventpub.sidecar.telemetry.losses import BEGINNINGS, is_report

from . import records

if TYPE_CHECKING:
    from pathlib import Path


def reports_in(path: Path) -> list[bytes]:
    """Return the loss reports in a batch file; one that cannot be read has none."""
    try:
        image = path.read_bytes()
    except OSError:
        return []
    if not any(beginning in image for beginning in BEGINNINGS):  # a tenth of the time that reading it takes
        return []
    return [event for event in records.read_records(image).events if is_report(event)]
