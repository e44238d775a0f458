"""The daemon: what it is made of, in which order its parts are opened, and how they are closed again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial

import structlog
from litestar import Litestar

from audit_daemon.access import Access
from audit_daemon.http.app import create_app
from audit_daemon.http.app_state import AppState
from audit_daemon.http.budget import Budget
from audit_daemon.http.cors import Cors
from audit_daemon.http.gateway import Gateway
from audit_daemon.http.ingest import Ingest
from audit_daemon.settings import Settings
from audit_daemon.store.sqlite import SqliteStore
from audit_daemon.store.writer import WriterLimits
from audit_daemon.tail import Tail
from audit_daemon.verifier.schedule import Verifier
from audit_stream.chain import Head
from audit_stream.logfile.asking import NoVerdictError
from audit_stream.logfile.errors import StoreError

__all__ = ["Daemon"]

_log = structlog.get_logger(__name__)


class Daemon:
    """The whole daemon as an ASGI application, `asgi`; the store is open between its lifespan's start and end."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.budget = Budget(settings.buffer_bytes)
        self.start_error: StoreError | None = None
        self._ingest: Ingest | None = None
        self._store: SqliteStore | None = None
        self._tail: Tail | None = None
        self.asgi = Gateway(
            create_app(self._lifespan),
            access=Access(settings.anonymous),
            cors=Cors(settings.cors_origins),
            ingest=self._started_ingest,
        )

    async def finish(self, timeout_s: float) -> None:
        """Commit what is under way, then let every open stream end after it; a disk that hangs gets `timeout_s`.

        To be awaited before the server waits for its connections.
        """
        if self._ingest is not None:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._ingest.finish()
            except TimeoutError:
                _log.warning("appends are still under way at the stop", waited_s=timeout_s)
                if self._store is not None:
                    self._store.give_up()
        if self._tail is not None:
            self._tail.close()

    @property
    def hung(self) -> bool:
        """Whether the disk did not answer at the end, so that threads are left which the process must not wait for."""
        return self._store is not None and self._store.hung

    def _started_ingest(self) -> Ingest:
        assert self._ingest is not None, "requests come after the lifespan's start"
        return self._ingest

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Litestar) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as opened:  # closed in the opposite order, whatever fails on the way
            store = self._store = await self._open_store()
            opened.push_async_callback(store.close)
            self._tail = Tail(store)
            opened.callback(self._tail.close)
            verifier = Verifier(
                store.path, head=partial(_head_to_verify, store), interval_s=self.settings.verify_interval_s
            )
            opened.push_async_callback(verifier.close)
            state = app.state["app_state"] = AppState(self.settings, store, self._tail, verifier, self.budget)
            self._ingest = Ingest(state)
            opened.callback(self._ingest.close)
            verifier.start()
            yield

    async def _open_store(self) -> SqliteStore:
        settings = self.settings
        limits = WriterLimits(
            max_events=settings.queue_events,
            max_bytes=settings.queue_bytes,
            key_lifetime_ms=int(settings.idempotency_ttl_s * 1000),
        )
        try:
            return await SqliteStore.open(settings.db_path, limits=limits)
        except StoreError as error:
            self.start_error = error  # uvicorn reports any failure of a lifespan alike; the server tells this one
            raise


def _head_to_verify(store: SqliteStore) -> Head:
    """What the verifier must find at the path. Raises NoVerdictError when the files there are not the open ones."""
    try:
        store.check_files()
    except StoreError as error:
        raise NoVerdictError(str(error)) from None
    return store.head
