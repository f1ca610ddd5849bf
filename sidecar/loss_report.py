"""Losses -> a report, an event like any other, that goes the way of all events to the collector."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from eventpub.process.descriptors import explain_error

if TYPE_CHECKING:
    from eventpub.sidecar.spool.batch import Batch
    from eventpub.sidecar.spool.spool import Spool
    from eventpub.sidecar.telemetry.metrics import Telemetry

    from .config import SidecarConfig

logger = logging.getLogger(__name__)


class LossReporter:
    """Puts a report into the spool for what was lost since the last one; one at a time is on its way.

    Args:
        config: loss_report.interval, and the version of the wire.
        queue_name: the queue that is reported on.
        spool: where reports go.
        telemetry: knows the losses.
    """

    def __init__(self, config: SidecarConfig, queue_name: str, spool: Spool, telemetry: Telemetry) -> None:
        self._config = config
        self._queue_name = queue_name
        self._spool = spool
        self._telemetry = telemetry
        self._losses = telemetry.losses
        self._due_at = time.monotonic() + config.loss_report_interval_seconds

    def configure(self, config: SidecarConfig) -> None:
        """Use these settings; a shorter interval counts from now on."""
        self._config = config
        self._due_at = min(self._due_at, time.monotonic() + config.loss_report_interval_seconds)

    def report_in_time(self) -> list[Batch]:
        """Report as `report` does, once the interval is over."""
        return self.report() if time.monotonic() >= self._due_at else []

    def report(self) -> list[Batch]:
        """Return a report to be delivered, if one is wanted and none is on its way."""
        if self._losses.is_on_its_way or not self._losses.untold:
            return []
        self._due_at = time.monotonic() + self._config.loss_report_interval_seconds
        report = self.write()
        return [report] if report else []

    def write(self) -> Batch | None:
        """Put a report into the spool, if one is wanted and the disk takes it."""
        if not (self._config.loss_report_interval_seconds and self._losses.untold):
            return None
        try:
            event = self._losses.write_report(self._config.collector_version, self._queue_name)
            report = self._spool.add_report(event, self._config.collector_version)
        except (OSError, ImportError) as error:  # the second where no file can be opened
            self._losses.withdraw()
            left = self._losses.untold_counts()
            logger.warning("losses cannot be reported: %s; they were %s", explain_error(error), left)
            return None
        self._telemetry.reported()
        return report
