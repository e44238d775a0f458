"""Turns of the event loop, shared among those who have much to do on it.

A stream that is replayed through a filter keeps the loop busy for as long as it lasts, and hundreds of them would keep
producers waiting for seconds. So each takes a turn for every piece of its work: in one turn of the loop they get
BUDGET_S together, one of them at least gets on, and all come up in the order in which they asked. Then they rest for as
long as they have worked: half of the loop's time is for others, and for the threads that need the interpreter's lock.
"""

from __future__ import annotations

import asyncio
from collections import deque

__all__ = ["BUDGET_S", "Turns"]

BUDGET_S = 0.001
"""Of one turn of the loop. A POST takes some four turns: with as many streams as there may be, some 10 ms."""

_URGENT_AT_ONCE = 8
"""Of those whose work is small; the others go on one at a time."""


class Turns:
    """The turns of one event loop. Belongs to its thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, budget_s: float = BUDGET_S) -> None:
        self._loop = loop
        self._budget_s = budget_s
        self._left_s = budget_s
        self._urgent: deque[asyncio.Future[None]] = deque()
        self._others: deque[asyncio.Future[None]] = deque()
        self._next: asyncio.Handle | None = None
        self._rested_s = 0.0  # when the others may go on

    async def take(self, *, urgent: bool) -> None:
        """Wait for a turn, unless this one has time left. What is urgent comes before what is not, and keeps none out.

        Work until the next `await`, and then say how long it took.
        """
        line = self._urgent if urgent else self._others
        if self._left_s > 0 and not line and (urgent or self._loop.time() >= self._rested_s):
            return
        turn = self._loop.create_future()
        line.append(turn)
        self._schedule()
        await turn

    def spend(self, seconds: float, *, urgent: bool) -> None:
        """Count what was done in this turn. A rest follows it, unless it was urgent."""
        self._left_s -= seconds
        if not urgent:
            self._rested_s = max(self._rested_s, self._loop.time()) + seconds
        self._schedule()

    def _schedule(self) -> None:
        if isinstance(self._next, asyncio.TimerHandle):  # what is urgent does not wait for a rest to end
            self._next.cancel()
            self._next = None
        if self._next is None:
            self._next = self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        """Begin a turn of the loop."""
        self._next = None
        self._left_s = self._budget_s
        is_rested = self._loop.time() >= self._rested_s
        for line, count in ((self._urgent, _URGENT_AT_ONCE), (self._others, int(is_rested))):
            while line and count:
                turn = line.popleft()
                if not turn.done():  # or whoever asked is gone
                    turn.set_result(None)
                    count -= 1
        if self._urgent or (self._others and is_rested):
            self._schedule()
        elif self._others:
            self._next = self._loop.call_at(self._rested_s, self._begin)
