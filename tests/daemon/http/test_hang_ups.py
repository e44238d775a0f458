"""Whatever must be looked for is given up when its reader has gone."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from audit_daemon.http.events import list_events
from audit_daemon.http.queries import QueryReader
from audit_stream.kinds import DEFAULT_KINDS


@pytest.mark.parametrize("query", [b"q=word", b"since=2026-01-01T00:00:00Z", b"kind=other", b"source=s&limit=5"])
async def test_a_search_ends_when_its_reader_hangs_up(query: bytes) -> None:
    """Also one by kind or source alone: where there are very many sources, it goes through the events."""

    searching, ended = asyncio.Event(), asyncio.Event()

    async def find(_: object) -> None:
        searching.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def receive() -> dict[str, Any]:
        await searching.wait()
        return {"type": "http.disconnect"}

    queries = QueryReader(DEFAULT_KINDS, is_known_kind=lambda _: True, clock_ms=lambda: 0)
    store = SimpleNamespace(find=find, read_small=lambda *_: b"")
    state = SimpleNamespace(queries=queries, store=store)
    request = SimpleNamespace(
        method="GET",
        scope={"query_string": query},
        app=SimpleNamespace(state={"app_state": state}),
        receive=receive,
        headers={},
    )
    async with asyncio.timeout(20):
        await cast("Any", list_events).fn(request)
        await ended.wait()
