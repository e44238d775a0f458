"""Reading events: pages, one event, and the bytes that were hashed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode

from litestar import Response, get, post, route
from litestar.response import Stream

from audit_daemon.http.app_state import AnyRequest, AppState, state_of
from audit_daemon.http.problems import Problem
from audit_daemon.http.queries import event_id_of
from audit_daemon.http.sending import TAKEN
from audit_stream.logfile.query import EVERYTHING, EventQuery, Page, PageFormat
from audit_stream.logfile.served import is_json, served_event
from audit_stream.wire import JSON, NDJSON, NDJSON_NAMES

__all__ = ["ARRAY_ITEMS", "LINES", "get_canonical", "get_event", "list_events", "misspelt_append"]

ARRAY_ITEMS = PageFormat("{event}", between=",")
LINES = PageFormat("{event}\n")

_BYTES = "application/octet-stream"
_HASH = re.compile("[0-9a-f]{64}")


@post("/events/batch")
async def misspelt_append() -> None:
    """A producers' route with further slashes. Registered so that answers to other methods name POST in Allow."""
    raise _misspelt()


@route("/events", http_method=["GET", "POST"], status_code=200)  # one handler, or OPTIONS would name only the first
async def list_events(request: AnyRequest) -> Response[Any]:
    """Events that were appended, the most recent ones unless a cursor says otherwise."""
    if request.method == "POST":
        raise _misspelt()
    state = state_of(request)
    query = state.queries.page(request.scope["query_string"])
    page_format, media_type = (LINES, NDJSON) if _wants_ndjson(request) else (ARRAY_ITEMS, JSON)
    search = state.store.find(query)
    page = await (search if query.criteria == EVERYTHING else _while_connected(request, search))
    headers = {"Link": link} if (link := _next_link(request.scope["query_string"], query, page)) else {}
    whole = state.store.read_small(page.ids, page_format)
    if whole is not None:
        return Response(whole if page_format is LINES else b"[%b]" % whole, media_type=media_type, headers=headers)
    return Stream(_body(state, page.ids, page_format), media_type=media_type, headers=headers)


@get("/events/{event_id:str}")
async def get_event(request: AnyRequest) -> Response[bytes]:
    """One event."""
    event_id, canonical, hash_ = _stored(request)
    return Response(served_event(event_id, canonical, hash_), media_type=JSON)


@get("/events/{event_id:str}/canonical")
async def get_canonical(request: AnyRequest) -> Response[bytes]:
    """The exact bytes whose SHA-256 is the event's hash, also if they are no JSON."""
    _, canonical, hash_ = _stored(request)
    headers = {"ETag": f'"{hash_}"'} if _HASH.fullmatch(hash_) else {}
    return Response(canonical, media_type=JSON if is_json(canonical) else _BYTES, headers=headers)


async def _while_connected(request: AnyRequest, search: Coroutine[Any, Any, Page]) -> Page:
    """The result of a search, which is given up when whoever asked hangs up: nobody would get its answer."""
    found = asyncio.ensure_future(search)
    gone = asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait((found, gone), return_when=asyncio.FIRST_COMPLETED)
        return await found if found.done() else Page(ids=(), more=False, reached=0)
    finally:
        gone.cancel()
        found.cancel()


async def _hung_up(request: AnyRequest) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _misspelt() -> Problem:
    return Problem(404, "there is no such endpoint: post to /events or /events/batch, without further slashes")


def _stored(request: AnyRequest) -> tuple[int, bytes, str]:
    event_id = event_id_of(request.path_params["event_id"])
    stored = state_of(request).store.event(event_id)
    if stored is None:
        raise Problem(404, f"unknown event_id: {event_id}")
    return event_id, *stored


def _wants_ndjson(request: AnyRequest) -> bool:
    """Whether the Accept header asks for lines; anything else gets an array."""
    accepted = {part.partition(";")[0].strip() for part in request.headers.get("accept", "").lower().split(",")}
    return bool(accepted & NDJSON_NAMES)


async def _body(state: AppState, ids: Sequence[int], page_format: PageFormat) -> AsyncIterator[bytes]:
    separator, end = (b"", b"") if page_format is LINES else (b"[", b"]")
    async for chunk in state.store.read(ids, page_format):
        if chunk:
            sent = separator + chunk
            del chunk
            yield sent
            del sent  # while a reader takes its time, only the transport holds what is on its way
            yield TAKEN
            separator = separator and b","
    yield b"[]" if separator == b"[" else end


def _next_link(query_string: bytes, query: EventQuery, page: Page) -> str | None:
    """The address of the next page in the direction of reading (RFC 8288), None after the last."""
    if not page.more or not page.ids:
        return None
    cursor = (
        ("since_id", max(page.ids[0], page.ids[-1])) if query.forward else ("before_id", min(page.ids[0], page.ids[-1]))
    )
    kept = [(name, value) for name, value in parse_qsl(query_string.decode("ascii")) if name != cursor[0]]
    return f'</events?{urlencode([*kept, cursor])}>; rel="next"'
