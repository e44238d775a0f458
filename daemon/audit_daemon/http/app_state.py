"""What the handlers share: opened when the application starts, closed when it stops."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from litestar import Request
from litestar.datastructures import State
from prometheus_client.core import Metric

from audit_daemon.http.budget import Budget
from audit_daemon.http.metrics import Metrics, counter, events_by_series, gauge
from audit_daemon.http.queries import QueryReader
from audit_daemon.rates import Rates
from audit_daemon.settings import Settings
from audit_daemon.store.protocol import Store
from audit_daemon.tail import Tail
from audit_daemon.verifier.schedule import Verifier
from audit_stream.event import EventReader, system_clock_ms
from audit_stream.kinds import KindRegistry
from audit_stream.timestamps import parse_rfc3339_ms

__all__ = ["AnyRequest", "AppState", "state_of", "without_parameters"]

AnyRequest = Request[Any, Any, State]


class AppState:
    """The parts of a running daemon. Belongs to the event loop's thread."""

    def __init__(self, settings: Settings, store: Store, tail: Tail, verifier: Verifier, budget: Budget) -> None:
        self.settings = settings
        self.budget = budget
        self.store = store
        self.tail = tail
        self.verifier = verifier
        self.reader = EventReader(settings.kinds)
        self.queries = QueryReader(settings.kinds, is_known_kind=self.is_known_kind, clock_ms=system_clock_ms)
        self.rates = Rates()
        self.metrics = Metrics(self._scrape)
        store.on_commit(lambda events: self.rates.add(len(events)))

    @property
    def kinds(self) -> KindRegistry:
        """The kinds that are accepted."""
        return self.settings.kinds

    def is_known_kind(self, name: str) -> bool:
        """Whether a query may name the kind: it is accepted, or the chain holds such events."""
        return name in self.kinds or self.store.has_kind(name)

    def not_ready(self) -> list[str]:
        """Why the daemon should not be sent events; empty when it is ready."""
        reasons = []
        problem = self.store.health.problem
        if problem is not None:
            reasons.append(problem)
        if self.verifier.failure is not None:
            reasons.append(f"the chain could not be verified: {self.verifier.failure}")
        verdict = self.verifier.last
        if verdict is not None and not verdict.valid:
            reasons.append(f"the chain is broken at event #{verdict.first_break_at}: {verdict.reason}")
        return reasons

    def _scrape(self) -> Iterable[Metric]:
        return list(self._metrics())

    def _metrics(self) -> Iterator[Metric]:
        health, verdict = self.store.health, self.verifier.last
        yield events_by_series(self.store.tally())
        yield gauge("head_event_id", "Id of the last event", self.store.head.event_id)
        yield gauge("subscribers", "Open streams", self.tail.subscribers)
        yield gauge("write_queue_events", "Events that wait for the disk", health.queued_events)
        yield gauge("write_queue_bytes", "Bytes that wait for the disk", health.queued_bytes)
        yield gauge("buffer_bytes", "Bytes of bodies and answers under way", self.budget.used_bytes)
        yield counter("buffer_dismissed", "Stalled peers that lost their place to others", self.budget.dismissed)
        yield gauge("store_ok", "1 when events can be appended", health.problem is None)
        yield gauge("database_size_bytes", "Size of the database and its write-ahead log", health.size_bytes)
        yield gauge("write_ahead_log_size_bytes", "Size of the write-ahead log alone", health.log_bytes)
        yield counter("commits", "Transactions committed since the start", health.commits)
        yield counter("commit_failures", "Transactions that failed since the start", health.failed_commits)
        yield counter("verifications", "Walks over the chain since the start", self.verifier.walks)
        yield gauge(
            "verify_failed", "1 when the last verification came to no verdict", self.verifier.failure is not None
        )
        if verdict is not None and self.verifier.failure is None:
            yield gauge("chain_valid", "1 when the last verification found the chain intact", verdict.valid)
            verified_at = parse_rfc3339_ms(verdict.verified_at) / 1000
            yield gauge("chain_verified_timestamp_seconds", "When the last verification ended", verified_at)
            yield gauge("chain_verified_events", "Events that the last verification found intact", verdict.checked)
            yield gauge(
                "chain_verify_duration_seconds", "Duration of the last verification", (verdict.duration_ms or 0) / 1e3
            )


def state_of(request: AnyRequest) -> AppState:
    """The state of the application that a request came to."""
    state: AppState = request.app.state["app_state"]
    return state


def without_parameters(request: AnyRequest) -> AppState:
    """The state, for an endpoint that takes no query string; a Problem when there is one."""
    state = state_of(request)
    state.queries.nothing(request.scope["query_string"])
    return state
