"""What the daemon says of itself and of the chain."""

from __future__ import annotations

from collections import Counter

import msgspec
from litestar import Response, get

from audit_daemon.http import metrics, openapi
from audit_daemon.http.app_state import AnyRequest, AppState, state_of
from audit_daemon.http.problems import Problem
from audit_stream import __version__
from audit_stream.answers import Liveness, Readiness, Service, Stats, WriteQueue
from audit_stream.chain import GENESIS_HASH
from audit_stream.kinds import DEFAULT_KINDS, KindRegistry
from audit_stream.logfile.asking import NoVerdictError
from audit_stream.wire import JSON

__all__ = ["healthz", "metrics_page", "readyz", "root", "schema", "stats", "verify"]


@get("/")
async def root(request: AnyRequest) -> Response[bytes]:
    """Name, version and endpoints."""
    return _json(
        Service(
            name="audit-stream",
            version=__version__,
            description="The tamper-evident event spine of a governance stack: hash-chained, durable, SSE-tailed.",
            endpoints=openapi.endpoints(),
        )
    )


@get("/healthz")
async def healthz(request: AnyRequest) -> Response[bytes]:
    """Alive: answers as long as the event loop turns."""
    return _json(Liveness())


@get("/readyz")
async def readyz(request: AnyRequest) -> Response[bytes]:
    """Able to append: 503 with the reasons when not."""
    reasons = _why_not_ready(state_of(request))
    readiness = Readiness(status="unavailable" if reasons else "ok", reasons=reasons)
    return _json(readiness, status_code=503 if reasons else 200)


@get("/verify")
async def verify(request: AnyRequest) -> Response[bytes]:
    """A fresh verdict on the whole chain."""
    state = state_of(request)
    try:
        report = await state.verifier.verify()
    except NoVerdictError as error:
        raise Problem(503, f"the chain could not be checked, which says nothing about it: {error}") from None
    return _json(report)


@get("/stats")
async def stats(request: AnyRequest) -> Response[bytes]:
    """Counts, rates, and the last verdict."""
    state = state_of(request)
    head, health = state.store.head, state.store.health
    tally = state.store.tally()
    return _json(
        Stats(
            count=head.event_id,
            last_event_id=head.event_id,
            latest_hash=None if head.hash == GENESIS_HASH else head.hash,
            by_kind=dict(Counter(tally.by_kind).most_common()),
            by_source=dict(tally.by_source),
            sources=tally.sources,
            events_of_other_sources=tally.other_sources,
            severities=_own_severities(state.kinds),
            rates_per_second=state.rates.per_second(),
            subscribers=state.tail.subscribers,
            database_bytes=health.size_bytes,
            write_queue=WriteQueue(events=health.queued_events, bytes=health.queued_bytes),
            last_verdict=None if state.verifier.failure else state.verifier.last,
        )
    )


@get("/metrics")
async def metrics_page(request: AnyRequest) -> Response[bytes]:
    """Prometheus text format."""
    state = state_of(request)
    return Response(await state.metrics.page(), media_type=metrics.MEDIA_TYPE)


@get("/schema")
async def schema(request: AnyRequest) -> Response[bytes]:
    """The OpenAPI description."""
    state = state_of(request)
    return Response(msgspec.json.encode(openapi.document(state.kinds)), media_type="application/vnd.oai.openapi+json")


def _why_not_ready(state: AppState) -> list[str]:
    """Why the daemon should not be sent events; empty when it is ready."""
    reasons = []
    problem = state.store.health.problem
    if problem is not None:
        reasons.append(problem)
    if state.verifier.failure is not None:
        reasons.append(f"the chain could not be verified: {state.verifier.failure}")
    verdict = state.verifier.last
    if verdict is not None and not verdict.valid:
        reasons.append(f"the chain is broken at event #{verdict.first_break_at}: {verdict.reason}")
    return reasons


def _own_severities(kinds: KindRegistry) -> dict[str, str]:
    """The severities that a client cannot know by its own registry: those that the operator added or changed."""
    built_in = {kind.name: kind.severity for kind in DEFAULT_KINDS}
    return {kind.name: kind.severity.label for kind in kinds if built_in.get(kind.name) is not kind.severity}


def _json(content: object, *, status_code: int = 200) -> Response[bytes]:
    return Response(msgspec.json.encode(content), media_type=JSON, status_code=status_code)
