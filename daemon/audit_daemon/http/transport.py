"""One system call an answer instead of two.

uvicorn writes an answer's head and body separately, and for small answers the second call into the kernel costs as
much as decoding and encoding the event. Here what is written during one turn of the event loop is sent together.
"""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["CoalescingTransport"]

_MAX_PENDING_BYTES = 32 << 10
"""What is kept back at most. More goes to the inner transport at once, which tells a writer to wait for a slow reader;
a stream would otherwise write a whole history within one turn."""


class CoalescingTransport:
    """A transport that sends at the end of the loop's turn; everything but writing and closing is the inner one's."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._pending: list[bytes] = []
        self._pending_bytes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send `data` after what was written before it, at the latest when this turn ends."""
        if not self._pending:
            self._loop.call_soon(self._flush)
        self._pending.append(data)
        self._pending_bytes += len(data)
        if self._pending_bytes > _MAX_PENDING_BYTES:
            self._flush()

    def get_write_buffer_size(self) -> int:
        """What the peer's socket has not taken yet."""
        return self._pending_bytes + self._transport.get_write_buffer_size()

    def close(self) -> None:
        """Send what is pending, then close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._pending:
            data = b"".join(self._pending)
            self._pending.clear()
            self._pending_bytes = 0
            if not self._transport.is_closing():  # a peer may vanish between a write and the turn's end
                self._transport.write(data)
