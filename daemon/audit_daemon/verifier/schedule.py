"""When the chain is verified, and what is known of it: single flight, on demand and on a schedule of our own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from audit_stream.chain import Head, Verdict
from audit_stream.logfile.asking import STALL_S, NoVerdictError, ask, deadline_s

__all__ = ["Verifier"]

_log = structlog.get_logger(__name__)

_FIRST_DELAY_S = 1.0
_MAX_SHARE = 0.1
"""Of the time, at most this much is spent verifying on our own schedule, however long the chain has become."""

_GRACE = 2
"""A verification that was asked for may run when the schedule's is due, which comes after it."""


class Verifier:
    """Runs the verifying process. Everything here belongs to the event loop's thread.

    A caller gets the verdict of a verification that began reading after the call: whoever edits a row and then asks is
    told. Callers share one that has not begun yet, so ten dashboards that ask at once cause one.
    """

    def __init__(
        self,
        path: Path,
        *,
        head: Callable[[], Head],
        interval_s: float,
        stall_s: float = STALL_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._path = path
        self._head = head
        self._interval_s = interval_s
        self._stall_s = stall_s
        self._sleep = sleep
        self._took_s = 0.0  # from the start of the last process to its end, what it gave up and began anew included
        self._upcoming: asyncio.Task[Verdict] | None = None
        self._running: asyncio.Task[Verdict] | None = None
        self._schedule: asyncio.Task[None] | None = None
        self._due_s = float("inf")  # on time.monotonic(): when the schedule must have come to another verdict
        self._failure: str | None = None
        self.last: Verdict | None = None
        self.verifications = 0

    @property
    def failure(self) -> str | None:
        """Why nothing is known of the chain now: the last verification had no verdict, or the next one is overdue."""
        if self._failure is None and time.monotonic() > self._due_s:
            return "the verification by the daemon's own schedule is overdue"
        return self._failure

    def start(self) -> None:
        """Begin the schedule; without an interval (0) the chain is verified only on demand."""
        if self._interval_s > 0:
            self._schedule = asyncio.create_task(self._run_schedule(), name="verify schedule")

    async def verify(self) -> Verdict:
        """A fresh verdict. Raises NoVerdictError when the file could not be checked."""
        if self._upcoming is None:
            self._upcoming = asyncio.create_task(self._verify_after(self._running), name="verify")
        return await asyncio.shield(self._upcoming)

    async def close(self) -> None:
        """Stop the schedule and kill the verifying process, whatever state it is in: it takes a second at most."""
        tasks = [task for task in (self._schedule, self._upcoming, self._running) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run_schedule(self) -> None:
        delay_s = _FIRST_DELAY_S
        while True:
            self._due_s = time.monotonic() + delay_s + _GRACE * deadline_s(self._path)
            await self._sleep(delay_s)
            before = self.last
            try:
                verdict = await self.verify()
            except NoVerdictError as error:
                _log.error("cannot verify the chain", reason=str(error))
            else:
                if before is not None and _same_break(before, verdict):
                    _log.error("the chain is still broken", first_break_at=verdict.first_break_at)
            delay_s = max(self._interval_s, self._took_s / _MAX_SHARE)

    async def _verify_after(self, earlier: asyncio.Task[Verdict] | None) -> Verdict:
        """Verify once the earlier verification has ended, so that there is never more than one process."""
        if earlier is not None:
            await asyncio.wait([earlier])
        try:
            verdict = await self._verify_now()
        except NoVerdictError as error:
            self._failure = str(error)
            raise
        self._failure = None
        self._note(verdict)
        self.last = verdict
        return verdict

    async def _verify_now(self) -> Verdict:
        self.verifications += 1
        began_s = time.monotonic()
        try:
            return await self._ask(self._head())
        finally:
            self._took_s = time.monotonic() - began_s
            self._running = None
            if self._upcoming is asyncio.current_task():
                self._upcoming = None

    async def _ask(self, head: Head) -> Verdict:
        return await ask(self._path, acknowledged=head, on_started=self._began_to_read, stall_s=self._stall_s)

    def _began_to_read(self) -> None:
        """Who asks from now on waits for the next verification."""
        self._running, self._upcoming = self._upcoming, None

    def _note(self, verdict: Verdict) -> None:
        if not verdict.valid:
            if self.last is not None and _same_break(self.last, verdict):
                return  # readers may ask every second; the schedule repeats it
            _log.error(
                "THE CHAIN IS BROKEN",
                first_break_at=verdict.first_break_at,
                reason=verdict.reason,
                intact_until=verdict.checked,
            )
        elif self.last is not None and not self.last.valid:
            _log.warning("the chain holds again", checked=verdict.checked)


def _same_break(before: Verdict, now: Verdict) -> bool:
    return not before.valid and not now.valid and before.first_break_at == now.first_break_at
