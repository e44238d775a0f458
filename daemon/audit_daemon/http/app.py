"""The application: routes, shared services, and what is opened and closed with them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from litestar import Litestar

from audit_daemon.access import Access
from audit_daemon.http import events, reports, streams
from audit_daemon.http.cors import Cors
from audit_daemon.http.door import Door
from audit_daemon.http.ingest import Ingest
from audit_daemon.http.problems import on_error
from audit_daemon.http.services import Services
from audit_daemon.settings import Settings
from audit_daemon.store.protocol import StoreError
from audit_daemon.store.sqlite import SqliteStore
from audit_daemon.store.writer import WriterLimits
from audit_daemon.tail import Tail
from audit_daemon.verifier.schedule import Verifier

__all__ = ["Daemon"]

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


class Daemon:
    """The whole daemon as an ASGI application, `asgi`; the store is open between its lifespan's start and end."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.services: Services | None = None
        self.start_error: StoreError | None = None
        self._ingest: Ingest | None = None
        self.litestar = Litestar(
            _HANDLERS,
            lifespan=[self._lifespan],
            exception_handlers={Exception: on_error},
            openapi_config=None,  # openapi.py describes the producers' routes too
            logging_config=None,  # logs.py
        )
        self.asgi = Door(
            self.litestar,
            access=Access(settings.anonymous),
            cors=Cors(settings.cors_origins),
            ingest=self._started_ingest,
        )

    async def finish(self, timeout_s: float) -> None:
        """Commit what is under way, then let every open stream end after it; a disk that hangs gets `timeout_s`.

        To be awaited before the server waits for its connections.
        """
        if self._ingest is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._ingest.finish()
        if self.services is not None:
            self.services.tail.close()

    def _started_ingest(self) -> Ingest:
        assert self._ingest is not None, "requests come after the lifespan's start"
        return self._ingest

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Litestar) -> AsyncIterator[None]:
        settings = self.settings
        try:
            store = await SqliteStore.open(
                settings.db_path,
                limits=WriterLimits(
                    max_events=settings.queue_events,
                    max_bytes=settings.queue_bytes,
                    key_lifetime_ms=int(settings.idempotency_ttl_s * 1000),
                ),
            )
        except StoreError as error:
            self.start_error = error
            raise
        tail = Tail(store)
        verifier = Verifier(store.path, head=lambda: store.head, interval_s=settings.verify_interval_s)
        self.services = app.state["services"] = Services(settings, store, tail, verifier)
        self._ingest = Ingest(self.services)
        verifier.start()
        try:
            yield
        finally:
            self._ingest.close()
            await verifier.close()
            tail.close()
            await store.close()
