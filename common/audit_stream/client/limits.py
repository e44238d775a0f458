"""How much of an answer is read before it is clear that no daemon of ours gives it: memory stays bounded."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx

__all__ = ["MAX_BODY_BYTES", "MAX_LINE_BYTES", "ShortBody", "ShortLines", "ShortMessages"]

MAX_LINE_BYTES = 1 << 20
"""Of a stream or a page: an event takes at most 64 KiB."""

MAX_BODY_BYTES = 64 << 20
"""Of any other answer: counts of 100,000 sources take some 5 MB."""


class _Limited(httpx.AsyncByteStream):
    """The bytes of another stream, as long as `_take` agrees; what it raises is an httpx.ReadError."""

    def __init__(self, inner: httpx.SyncByteStream | httpx.AsyncByteStream | object) -> None:
        assert isinstance(inner, httpx.AsyncByteStream)
        self._inner = inner
        self._pending = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            self._take(chunk)
            yield chunk

    async def aclose(self) -> None:
        """Close the other stream."""
        await self._inner.aclose()

    def _take(self, chunk: bytes) -> None:
        raise NotImplementedError


class ShortLines(_Limited):
    """An answer of lines, of which none is longer than MAX_LINE_BYTES."""

    def _take(self, chunk: bytes) -> None:
        newline = chunk.rfind(b"\n")
        self._pending = self._pending + len(chunk) if newline < 0 else len(chunk) - newline - 1
        if self._pending > MAX_LINE_BYTES:
            raise httpx.ReadError(f"a line of more than {MAX_LINE_BYTES} bytes, which no audit-stream daemon sends")


class ShortMessages(_Limited):
    """A stream of messages, each ended by an empty line, of which none is longer than MAX_LINE_BYTES.

    Short lines are not enough: a reader of SSE joins the `data:` lines of a message until its end.
    """

    _last = b""

    def _take(self, chunk: bytes) -> None:
        text = self._last + chunk
        end = max(text.rfind(b"\n\n"), text.rfind(b"\n\r\n"))
        self._pending = self._pending + len(chunk) if end < 0 else len(text) - end
        self._last = text[-2:]
        if self._pending > MAX_LINE_BYTES:
            raise httpx.ReadError(f"a message of more than {MAX_LINE_BYTES} bytes, which no audit-stream daemon sends")


class ShortBody(_Limited):
    """An answer of at most MAX_BODY_BYTES."""

    def _take(self, chunk: bytes) -> None:
        self._pending += len(chunk)
        if self._pending > MAX_BODY_BYTES:
            raise httpx.ReadError(f"an answer of more than {MAX_BODY_BYTES} bytes, which no audit-stream daemon sends")
