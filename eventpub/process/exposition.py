"""Declared metrics and their values -> Prometheus's text format; imported when it is first asked for.

Its library takes 60 ms and 4 MB. Values are looked at when they are scraped, and at no other time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from .metric import Buckets

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client.core import Metric as Family

    from .metric import Metric, Number, Value

CONTENT_TYPE = CONTENT_TYPE_LATEST


def write_metrics(
    metrics: Sequence[Metric], values: Mapping[str, Value], common: Mapping[str, str] | None = None
) -> bytes:
    """Return metrics in Prometheus's text format.

    Args:
        metrics: all that are declared.
        values: one for the name of each.
        common: labels that all of them have.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Values(metrics, values, common or {}))
    return generate_latest(registry)


class _Values(Collector):
    def __init__(
        self, metrics: Sequence[Metric], values: Mapping[str, Value], common: Mapping[str, str]
    ) -> None:
        self._metrics = metrics
        self._values = values
        self._common = common

    def collect(self) -> Iterator[Family]:
        for metric in self._metrics:
            value = self._values[metric.name]
            if value is not None:
                yield self._make_family(metric, value)

    def _make_family(self, metric: Metric, value: Number | Buckets) -> Family:
        labels = [*self._common, *metric.labels]
        common = [*self._common.values()]
        if isinstance(value, Buckets):
            distribution = HistogramMetricFamily(metric.name, metric.words, labels=labels)
            bounds = [*map(str, value.bounds), "+Inf"]
            distribution.add_metric(common, list(zip(bounds, value.cumulated, strict=True)), value.sum)
            return distribution
        kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
        family = kind(metric.name, metric.words, labels=labels)
        for by, number in (value if isinstance(value, Mapping) else {(): value}).items():
            family.add_metric([*common, *by], number)
        return family
