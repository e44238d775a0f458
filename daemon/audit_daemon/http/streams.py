"""Live streams: server-sent events (WHATWG HTML, section 9.2), for ever."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from litestar import get
from litestar.response import Stream

from audit_daemon.http.app_state import AnyRequest, state_of
from audit_daemon.http.asgi import ENDLESS
from audit_daemon.http.queries import last_event_id_of
from audit_daemon.http.sending import TAKEN, WRITE_BUFFER_BYTES
from audit_daemon.tail import SSE, SSE_UNNAMED, Subscription
from audit_stream.logfile.query import PageFormat

__all__ = ["stream", "stream_unnamed"]

_HEADERS = {
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",  # or nginx would keep events back until its buffer is full
}


@get("/stream")
async def stream(request: AnyRequest) -> Stream:
    """Events as they are appended, each message named by its kind."""
    return _stream(request, SSE)


@get("/events/stream")
async def stream_unnamed(request: AnyRequest) -> Stream:
    """The same as /stream without `event:` lines, so that a browser's `onmessage` gets every message."""
    return _stream(request, SSE_UNNAMED)


def _stream(request: AnyRequest, page_format: PageFormat) -> Stream:
    state = state_of(request)
    criteria, since_id, by_time = state.queries.stream(request.scope["query_string"])
    head_id = state.tail.last_id
    wanted = last_event_id_of(request.headers.get("last-event-id"))
    if wanted is None:
        wanted = since_id
    if wanted is None:
        wanted = 0 if by_time else head_id
    cursor = min(wanted, head_id)
    opening = _opening(wanted, cursor, page_format)
    subscription = Subscription(criteria=criteria, page_format=page_format)

    async def messages() -> AsyncIterator[bytes]:
        yield opening
        async with aclosing(state.tail.follow(cursor, subscription)) as chunks:
            async for chunk in chunks:
                is_large = len(chunk) > WRITE_BUFFER_BYTES
                yield chunk
                del chunk  # while a reader takes its time, only the transport holds what is on its way
                if is_large:
                    yield TAKEN

    request.scope["state"][ENDLESS] = True
    return Stream(messages(), media_type="text/event-stream", headers=_HEADERS)


def _opening(wanted: int, cursor: int, page_format: PageFormat) -> bytes:
    """The first bytes of a stream.

    A comment says where it starts, and whether the cursor that the client holds is of another history. Browsers
    also get the id of that place, in a block without data: it dispatches nothing but is what an EventSource sends
    as Last-Event-ID when its connection breaks, so that one which has seen no event yet misses none either.
    """
    comment = b": from event %d\n" % cursor
    if wanted > cursor:
        comment = b": the log ends at event %d, before the %d that you have seen: it is another history\n" % (
            cursor,
            wanted,
        )
    return comment + (b"retry: 1000\nid: %d\n\n" % cursor if page_format is SSE_UNNAMED else b"")
