"""Reading events: pages, one event, and the bytes that were hashed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any
from urllib.parse import parse_qsl, urlencode

from litestar import Response, get, post, route
from litestar.response import Stream

from audit_daemon.http.problems import Problem
from audit_daemon.http.queries import event_id_of
from audit_daemon.http.services import AnyRequest, Services, services_of, without_parameters
from audit_stream.canonical import splice_hash
from audit_stream.logfile.query import EventQuery, Layout, Page
from audit_stream.wire import JSON, NDJSON, NDJSON_NAMES

__all__ = ["ARRAY_ITEMS", "LINES", "get_canonical", "get_event", "list_events", "misspelt_append"]

ARRAY_ITEMS = Layout("{event}", between=",")
LINES = Layout("{event}\n")

_WHOLE_ANSWER_EVENTS = 200
"""Answers up to this size are sent with their length; larger ones are streamed."""


@post("/events/batch")
async def misspelt_append() -> None:
    """A producers' route with further slashes. Registered so that answers to other methods name POST in Allow."""
    raise _misspelt()


@route("/events", http_method=["GET", "POST"], status_code=200)  # one handler, or OPTIONS would name only the first
async def list_events(request: AnyRequest) -> Response[Any]:
    """Events that were appended, the most recent ones unless a cursor says otherwise."""
    if request.method == "POST":
        raise _misspelt()
    services = services_of(request)
    query = services.queries.page(request.scope["query_string"])
    layout, media_type = (LINES, NDJSON) if _wants_ndjson(request) else (ARRAY_ITEMS, JSON)
    search = services.store.find(query)
    page = await (_while_connected(request, search) if query.criteria.scans else search)
    headers = {"Link": link} if (link := _next_link(request.scope["query_string"], query, page)) else {}
    body = _body(services, page, layout)
    if len(page.ids) <= _WHOLE_ANSWER_EVENTS:
        return Response(b"".join([chunk async for chunk in body]), media_type=media_type, headers=headers)
    return Stream(body, media_type=media_type, headers=headers)


@get("/events/{event_id:str}")
async def get_event(request: AnyRequest) -> Response[bytes]:
    """One event."""
    services = without_parameters(request)
    return Response(splice_hash(*_stored(request, services)), media_type=JSON)


@get("/events/{event_id:str}/canonical")
async def get_canonical(request: AnyRequest) -> Response[bytes]:
    """The exact bytes whose SHA-256 is the event's hash."""
    services = without_parameters(request)
    canonical, hash_ = _stored(request, services)
    return Response(canonical, media_type=JSON, headers={"ETag": f'"{hash_}"'})


async def _while_connected(request: AnyRequest, search: Coroutine[Any, Any, Page]) -> Page:
    """The result of a search, which is given up when whoever asked hangs up: nobody would get its answer."""
    found = asyncio.ensure_future(search)
    gone = asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait((found, gone), return_when=asyncio.FIRST_COMPLETED)
        return await found if found.done() else Page(ids=(), more=False)
    finally:
        gone.cancel()
        found.cancel()


async def _hung_up(request: AnyRequest) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _misspelt() -> Problem:
    return Problem(404, "there is no such endpoint: post to /events or /events/batch, without further slashes")


def _stored(request: AnyRequest, services: Services) -> tuple[bytes, str]:
    event_id = event_id_of(request.path_params["event_id"])
    stored = services.store.event(event_id)
    if stored is None:
        raise Problem(404, f"unknown event_id: {event_id}")
    return stored


def _wants_ndjson(request: AnyRequest) -> bool:
    """Whether the Accept header asks for lines; anything else gets an array."""
    accepted = {part.partition(";")[0].strip() for part in request.headers.get("accept", "").lower().split(",")}
    return bool(accepted & NDJSON_NAMES)


async def _body(services: Services, page: Page, layout: Layout) -> AsyncIterator[bytes]:
    chunks = services.store.read(page.ids, layout)
    if layout is LINES:
        async for chunk in chunks:
            yield chunk
        return
    separator = b"["
    async for chunk in chunks:
        if chunk:
            yield separator + chunk
            separator = b","
    yield b"]" if separator == b"," else b"[]"


def _next_link(query_string: bytes, query: EventQuery, page: Page) -> str | None:
    """The address of the next page in the direction of reading (RFC 8288), None after the last."""
    if not page.more or not page.ids:
        return None
    cursor = (
        ("since_id", max(page.ids[0], page.ids[-1])) if query.forward else ("before_id", min(page.ids[0], page.ids[-1]))
    )
    kept = [(name, value) for name, value in parse_qsl(query_string.decode("ascii")) if name != cursor[0]]
    return f'</events?{urlencode([*kept, cursor])}>; rel="next"'
