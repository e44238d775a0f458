"""What is on its way to a reader that does not take it: little, and within the budget."""

from __future__ import annotations

import asyncio
from typing import Any

from audit_daemon.http.budget import Budget, BudgetExceeded, Reservation
from audit_daemon.http.connection import GuardedProtocol

__all__ = ["TAKEN", "WRITE_BUFFER_BYTES", "CountedProtocol"]

WRITE_BUFFER_BYTES = 16 << 10
"""How much may wait beyond what the kernel takes before a writer is told to wait."""

TAKEN = b""
"""Yielded by a body's iterator after a chunk: uvicorn sends nothing, but only once the reader has taken what is before.

Otherwise the next chunk would be made, and held, while this one still waits."""

_STALLED_S = 5.0
"""A reader that has taken nothing for so long loses its place when somebody else needs it."""

_OVERHEAD_BYTES = 48 << 10
"""What an answer under way takes beside its buffer: the request, its task, a connection's own objects."""


class CountedProtocol(GuardedProtocol):
    """A connection whose unsent bytes are counted in the budget from when they must wait until they are gone."""

    def __init__(self, *args: Any, budget: Budget, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._budget = budget
        self._unsent: Reservation | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """A peer has connected."""
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        super().connection_made(transport)

    def pause_writing(self) -> None:
        """The reader does not take what is sent: a place in the budget, or an end; it can resume by its cursor."""
        super().pause_writing()
        try:
            self._unsent = self._budget.reserve(
                self.transport.get_write_buffer_size() + _OVERHEAD_BYTES,
                self.transport.abort,
                stalled_from=self._budget.clock() + _STALLED_S,
            )
        except BudgetExceeded:
            self._budget.dismissed += 1
            self.transport.abort()

    def resume_writing(self) -> None:
        """The reader has taken nearly all of it."""
        self._release()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer is gone."""
        self._release()
        super().connection_lost(exc)

    def _release(self) -> None:
        if self._unsent is not None:
            self._unsent.release()
            self._unsent = None
