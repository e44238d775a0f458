"""The ASGI types, and a whole answer over them (asgi.readthedocs.io, "HTTP & WebSocket")."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

__all__ = ["ENDLESS", "WHOLE", "Headers", "Receive", "Scope", "Send", "answer"]

Headers = list[tuple[bytes, bytes]]
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

ENDLESS = "endless"
"""Set in a scope's "state" by a handler whose answer ends only when its reader goes: a reader that closes its sending
side has gone. With every other answer it may only have said all that it had to say, as `nc -N` does."""

WHOLE = "whole"
"""In a scope's "state": what sends a whole answer at once (`GuardedProtocol.send_whole`); our own server has it."""


async def answer(send: Send, status: int, headers: Headers, body: bytes) -> None:
    """Send a whole answer. Its length is added to `headers`, except for a 204, which has none (RFC 9110, 8.6)."""
    length = [] if status == 204 else [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers + length})
    await send({"type": "http.response.body", "body": body})
