"""The Litestar application: every route but the producers' two, which the door answers before it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from litestar import Litestar

from audit_daemon.http import events, reports, streams
from audit_daemon.http.problems import on_error

__all__ = ["create_app"]

_HANDLERS = [
    events.list_events,
    events.misspelt_append,
    events.get_event,
    events.get_canonical,
    streams.stream,
    streams.stream_unnamed,
    reports.root,
    reports.healthz,
    reports.readyz,
    reports.verify,
    reports.stats,
    reports.metrics_page,
    reports.schema,
]


def create_app(lifespan: Callable[[Litestar], AbstractAsyncContextManager[None]]) -> Litestar:
    """The application. `lifespan` puts the `AppState` into its state before the first request comes."""
    return Litestar(
        _HANDLERS,
        lifespan=[lifespan],
        exception_handlers={Exception: on_error},
        openapi_config=None,  # openapi.py describes the producers' routes too
        logging_config=None,  # logs.py
    )
