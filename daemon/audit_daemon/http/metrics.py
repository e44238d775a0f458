"""Prometheus metrics. Counts by kind and source are the chain's own, so they go on across restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from audit_daemon.http.budget import Budget
from audit_daemon.store.protocol import Store
from audit_daemon.tail import Tail
from audit_daemon.verifier.schedule import Verifier
from audit_stream.chain import Verdict
from audit_stream.logfile.series import Tally
from audit_stream.timestamps import parse_rfc3339_ms

__all__ = ["MEDIA_TYPE", "OTHERS", "Metrics"]

MEDIA_TYPE = "text/plain; version=0.0.4"  # Litestar adds the charset to text

OTHERS = "(others)"
"""Stands for sources without a counter of their own; no source can be called so."""

_APPEND_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5)


class Metrics:
    """The registry of one daemon: what is counted on the way, and what its parts tell at the time of a scrape."""

    def __init__(self, store: Store, tail: Tail, verifier: Verifier, budget: Budget) -> None:
        self._store = store
        self._tail = tail
        self._verifier = verifier
        self._budget = budget
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
        self._registry.register(self)

    async def page(self) -> bytes:
        """The text exposition format. Made in a thread; who asks while it is being made gets the same."""
        if self._making is None or self._making.done():
            self._making = asyncio.ensure_future(asyncio.to_thread(generate_latest, self._registry))
        return await asyncio.shield(self._making)

    def describe(self) -> Iterable[Metric]:
        """For the registry: nothing, or it would scrape a daemon that is not open yet."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """For the registry: what the daemon's parts tell now."""
        health, verdict = self._store.health, self._verifier.last
        yield _events_by_series(self._store.tally())
        yield _gauge("head_event_id", "Id of the last event", self._store.head.event_id)
        yield _gauge("subscribers", "Open streams", self._tail.subscribers)
        yield _gauge("write_queue_events", "Events that wait for the disk", health.queued_events)
        yield _gauge("write_queue_bytes", "Bytes that wait for the disk", health.queued_bytes)
        yield _gauge("buffer_bytes", "Bytes of bodies and answers under way", self._budget.used_bytes)
        yield _counter("buffer_dismissed", "Stalled peers that lost their place to others", self._budget.dismissed)
        yield _gauge("store_ok", "1 when events can be appended", health.problem is None)
        yield _gauge("database_size_bytes", "Size of the database and its write-ahead log", health.size_bytes)
        yield _gauge("write_ahead_log_size_bytes", "Size of the write-ahead log alone", health.log_bytes)
        yield _counter("commits", "Transactions committed since the start", health.commits)
        yield _counter("commit_failures", "Transactions that failed since the start", health.failed_commits)
        yield _counter("verifications", "Verifications of the chain since the start", self._verifier.verifications)
        no_verdict = self._verifier.failure is not None
        yield _gauge("verify_failed", "1 when the last verification came to no verdict", no_verdict)
        if verdict is not None and not no_verdict:
            yield from _of_verdict(verdict)


def _of_verdict(verdict: Verdict) -> Iterator[Metric]:
    verified_at = parse_rfc3339_ms(verdict.verified_at) / 1000
    took_s = (verdict.duration_ms or 0) / 1e3
    yield _gauge("chain_valid", "1 when the last verification found the chain intact", verdict.valid)
    yield _gauge("chain_verified_timestamp_seconds", "When the last verification ended", verified_at)
    yield _gauge("chain_verified_events", "Events that the last verification found intact", verdict.checked)
    yield _gauge("chain_verify_duration_seconds", "Duration of the last verification", took_s)


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(f"audit_stream_{name}", documentation, value=value)


def _counter(name: str, documentation: str, value: float) -> Metric:
    return CounterMetricFamily(f"audit_stream_{name}", documentation, value=value)


def _events_by_series(tally: Tally) -> Metric:
    """The chain's events by kind and source; those of series beyond the oldest SHOWN_SERIES under OTHERS, by kind."""
    family = CounterMetricFamily("audit_stream_events", "Events in the chain", labels=["kind", "source"])
    for (kind, source), count in tally.by_series:
        family.add_metric([kind, source], count)
    for kind, count in tally.other_series.items():
        family.add_metric([kind, OTHERS], count)
    return family
