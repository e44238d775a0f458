"""What the handlers share: opened when the application starts, closed when it stops."""

from __future__ import annotations

from typing import Any

from litestar import Request
from litestar.datastructures import State

from audit_daemon.http.budget import Budget
from audit_daemon.http.metrics import Metrics
from audit_daemon.http.queries import QueryReader
from audit_daemon.rates import Rates
from audit_daemon.settings import Settings
from audit_daemon.store.protocol import Store
from audit_daemon.tail import Tail
from audit_daemon.verifier.schedule import Verifier
from audit_stream.event import EventReader, system_clock_ms
from audit_stream.kinds import KindRegistry

__all__ = ["AnyRequest", "AppState", "state_of"]

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
        self.metrics = Metrics(store, tail, verifier, budget)
        store.on_commit(lambda events: self.rates.add(len(events)))

    @property
    def kinds(self) -> KindRegistry:
        """The kinds that are accepted."""
        return self.settings.kinds

    def is_known_kind(self, name: str) -> bool:
        """Whether a query may name the kind: it is accepted, or the chain holds such events."""
        return name in self.kinds or self.store.has_kind(name)


def state_of(request: AnyRequest) -> AppState:
    """The state of the application that a request came to."""
    state: AppState = request.app.state["app_state"]
    return state
