"""Prometheus metrics. Counts by kind and source are the chain's own, so they go on across restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from audit_stream.logfile.series import Tally

__all__ = ["MEDIA_TYPE", "OTHERS", "Metrics", "counter", "events_by_series", "gauge"]

MEDIA_TYPE = "text/plain; version=0.0.4"  # Litestar adds the charset to text

OTHERS = "(others)"
"""Stands for sources without a counter of their own; no source can be called so."""

_APPEND_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5)


class Metrics:
    """The registry of one daemon. `state` yields what is read at the time of a scrape."""

    def __init__(self, state: Callable[[], Iterable[Metric]]) -> None:
        self._registry = CollectorRegistry()
        self._making: asyncio.Future[bytes] | None = None
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

    async def page(self) -> bytes:
        """The text exposition format. Made in a thread; who asks while it is being made gets the same."""
        if self._making is None or self._making.done():
            self._making = asyncio.ensure_future(asyncio.to_thread(generate_latest, self._registry))
        return await asyncio.shield(self._making)


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


def events_by_series(tally: Tally) -> Metric:
    """The chain's events by kind and source; those of series beyond the oldest SHOWN_SERIES under OTHERS, by kind."""
    family = CounterMetricFamily("audit_stream_events", "Events in the chain", labels=["kind", "source"])
    for (kind, source), count in tally.by_series:
        family.add_metric([kind, source], count)
    for kind, count in tally.other_series.items():
        family.add_metric([kind, OTHERS], count)
    return family
