"""The Litestar application: every route but the producers' two, which the gateway answers before it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from litestar import Litestar, Router

from audit_daemon.http import events, reports, streams
from audit_daemon.http.app_state import AnyRequest
from audit_daemon.http.problems import on_error
from audit_daemon.http.queries import no_parameters

__all__ = ["create_app"]


async def _take_no_parameters(request: AnyRequest) -> None:
    no_parameters(request.scope["query_string"])


_WITH_PARAMETERS = [events.list_events, events.misspelt_append, streams.stream, streams.stream_unnamed]
_WITHOUT_PARAMETERS = [
    events.get_event,
    events.get_canonical,
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
        [
            *_WITH_PARAMETERS,
            Router("/", route_handlers=_WITHOUT_PARAMETERS, before_request=_take_no_parameters),
        ],
        lifespan=[lifespan],
        exception_handlers={Exception: on_error},
        openapi_config=None,  # openapi.py describes the producers' routes too
        logging_config=None,  # logs.py
    )
