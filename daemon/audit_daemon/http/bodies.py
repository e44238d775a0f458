"""Producers' bodies: read with a limit, and within the budget of what is being received."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from audit_daemon.http.asgi import Receive
from audit_daemon.http.budget import Budget, BudgetExceeded, Reservation
from audit_daemon.http.connection import BODY_DEADLINE_S
from audit_daemon.http.problems import RETRY_AFTER_S, Problem
from audit_stream.errors import AuditStreamError

__all__ = ["CLOSE", "Body", "HungUp", "overloaded"]

CLOSE = {"Connection": "close"}  # or the server would go on reading what was refused

_RESERVED_FROM_BYTES = 64 << 10
"""A declared length from this on is reserved before anything is read. Less than this usually comes in one piece."""

_GRACE_S = 1.0
"""How long every body may take before it can be called stalled."""


class HungUp(AuditStreamError):
    """The producer closed the connection before its body was whole: nothing is stored, nobody is answered."""


class Body:
    """One request's body, and its place in the budget until `release`.

    `keep_free` is what this kind of body leaves to others. A body that would not be whole by its deadline at the pace
    at which it comes loses its place when somebody else needs it.
    """

    __slots__ = ("_budget", "_keep_free", "_reservation")

    def __init__(self, budget: Budget, *, keep_free: int = 0) -> None:
        self._budget = budget
        self._keep_free = keep_free
        self._reservation: Reservation | None = None

    async def read(self, receive: Receive, declared: int | None, limit: int) -> bytes | bytearray:
        """The whole body. Raises HungUp, or a Problem as soon as it is known that it cannot be taken.

        A declared length is refused before it is read; without one a body is counted as it grows.
        """
        if declared is not None and declared >= _RESERVED_FROM_BYTES:
            if declared > limit:
                raise _too_large(limit)
            return await self._read_slowly(receive, b"", reserve=declared, expected=declared, limit=limit)
        message = await receive()
        if message["type"] != "http.request":
            raise HungUp
        start: bytes = message.get("body", b"")
        if message.get("more_body", False):
            reserve, expected = (len(start), limit) if declared is None else (declared, declared)
            return await self._read_slowly(receive, start, reserve=reserve, expected=expected, limit=limit)
        if len(start) > limit:
            raise _too_large(limit)
        return start

    def hold(self, size_bytes: int) -> None:
        """Hold this much at least, for what became of the body. Raises a Problem when there is no room."""
        if self._reservation is not None and size_bytes > self._reservation.size_bytes:
            self._grow(self._reservation, size_bytes - self._reservation.size_bytes)

    def release(self) -> None:
        """Give its place back: the request is answered."""
        if self._reservation is not None:
            self._reservation.release()

    async def _read_slowly(
        self, receive: Receive, start: bytes, *, reserve: int, expected: int, limit: int
    ) -> bytearray:
        clock = self._budget.clock
        began = clock()
        body = bytearray()
        with suppress(TimeoutError):
            async with asyncio.timeout(None) as patience:
                reservation = self._reserve(reserve, lambda: patience.reschedule(0), began + _GRACE_S)
                chunk, more = start, True
                while True:
                    size_bytes = len(body) + len(chunk)
                    if size_bytes > limit:
                        raise _too_large(limit)
                    if size_bytes > reservation.size_bytes:
                        self._grow(reservation, size_bytes - reservation.size_bytes)
                    body += chunk
                    reservation.stalled_from = began + _GRACE_S + BODY_DEADLINE_S * size_bytes / expected
                    if not more:
                        reservation.keep()
                        return body
                    message = await receive()
                    if message["type"] != "http.request":
                        raise HungUp
                    chunk, more = message.get("body", b""), message.get("more_body", False)
        raise overloaded(self._budget, "the body came too slowly")

    def _reserve(self, size_bytes: int, dismiss: Callable[[], None], stalled_from: float) -> Reservation:
        try:
            self._reservation = self._budget.reserve(
                size_bytes, dismiss, stalled_from=stalled_from, keep_free=self._keep_free
            )
        except BudgetExceeded:
            raise overloaded(self._budget) from None
        return self._reservation

    def _grow(self, reservation: Reservation, more_bytes: int) -> None:
        try:
            reservation.grow(more_bytes, keep_free=self._keep_free)
        except BudgetExceeded:
            raise overloaded(self._budget) from None


def overloaded(budget: Budget, what: str = "") -> Problem:
    """The answer to what there is no room for: it can be sent again soon."""
    return Problem(
        503,
        f"busy: {what or 'too much is under way'}: {budget.used_bytes} of {budget.limit_bytes} bytes of bodies and "
        "answers are in use; nothing was acknowledged",
        headers={"Retry-After": RETRY_AFTER_S, **CLOSE},
    )


def _too_large(limit: int) -> Problem:
    return Problem(413, f"the body is larger than {limit} bytes: send smaller or fewer events", headers=CLOSE)
