"""Server-sent events as our daemons send them (WHATWG HTML, 9.2.6), with what their comments tell of the stream."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator

import msgspec

from audit_stream.client.decoding import RawEvent

__all__ = ["Reached", "read_messages"]

_AT = re.compile(rb": at event ([0-9]{1,19})")


class Reached(msgspec.Struct, frozen=True, kw_only=True):
    """Everything selected up to this event has come; the stream can be resumed after it."""

    event_id: int


async def read_messages(chunks: AsyncIterator[bytes]) -> AsyncGenerator[RawEvent | Reached]:
    """The data of each message, and how far a stream has come that had nothing to send, in the order of the stream.

    A reader such as httpx-sse drops comments. The length of lines and messages is for `limits.py` to bound.
    """
    rest = b""
    data: list[bytes] = []
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for ended in lines:
            line = ended.removesuffix(b"\r")
            if line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
            elif not line and data:
                yield RawEvent(b"\n".join(data))
                data = []
            elif not data and (at := _AT.fullmatch(line)) is not None:
                yield Reached(event_id=int(at[1]))
