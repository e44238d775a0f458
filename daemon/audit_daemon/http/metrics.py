"""Prometheus metrics. Counts by kind and source are the chain's own, so they go on across restarts."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

__all__ = ["MEDIA_TYPE", "Metrics", "counter", "events_by_series", "gauge"]

MEDIA_TYPE = "text/plain; version=0.0.4"  # Litestar adds the charset to text

_APPEND_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5)


class Metrics:
    """The registry of one daemon. `state` yields what is read at the time of a scrape."""

    def __init__(self, state: Callable[[], Iterable[Metric]]) -> None:
        self._registry = CollectorRegistry()
        self.append_seconds = Histogram(
            "audit_stream_append_duration_seconds",
            "Time from a read body to its answer, the fsync included",
            buckets=_APPEND_BUCKETS_S,
            registry=self._registry,
        )
        self.refused = Counter(
            "audit_stream_append_refused_total",
            "Appends that were not acknowledged, by HTTP status",
            ["status"],
            registry=self._registry,
        )
        self._registry.register(_Scrape(state))

    def render(self) -> bytes:
        """The text exposition format."""
        return generate_latest(self._registry)


class _Scrape:
    def __init__(self, state: Callable[[], Iterable[Metric]]) -> None:
        self._state = state

    def collect(self) -> Iterable[Metric]:
        return self._state()

    def describe(self) -> Iterable[Metric]:
        return ()  # or the registry would scrape a daemon that is not open yet


def gauge(name: str, documentation: str, value: float) -> Metric:
    """A gauge with one value."""
    return GaugeMetricFamily(f"audit_stream_{name}", documentation, value=value)


def counter(name: str, documentation: str, value: float) -> Metric:
    """A counter with one value."""
    return CounterMetricFamily(f"audit_stream_{name}", documentation, value=value)


def events_by_series(counts: Iterable[tuple[tuple[str, str], int]]) -> Metric:
    """The chain's events by kind and source."""
    family = CounterMetricFamily("audit_stream_events", "Events in the chain", labels=["kind", "source"])
    for (kind, source), count in counts:
        family.add_metric([kind, source], count)
    return family
