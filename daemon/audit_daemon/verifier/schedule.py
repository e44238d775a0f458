"""When the chain is walked, and what is known of it: single flight, on demand and on a schedule of our own."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import structlog

from audit_stream.chain import Head, Verdict

__all__ = ["Verifier", "VerifierError"]

_log = structlog.get_logger(__name__)

_FIRST_WALK_DELAY_S = 1.0
_MAX_SHARE = 0.1
"""Of the time, at most this much is spent verifying on our own schedule, however long the chain has become."""


class VerifierError(Exception):
    """The chain could not be checked; that says nothing about the chain."""


class Verifier:
    """Runs the verifying process. Everything here belongs to the event loop's thread.

    A caller gets a verdict of a walk that began reading after the call: whoever edits a row and then asks is told.
    Callers share a walk that has not begun yet, so ten dashboards that ask at once cause one.
    """

    def __init__(
        self,
        path: Path,
        *,
        head: Callable[[], Head],
        interval_s: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._path = path
        self._head = head
        self._interval_s = interval_s
        self._sleep = sleep
        self._took_s = 0.0  # from the start of the last process to its end, what it gave up and began anew included
        self._upcoming: asyncio.Task[Verdict] | None = None
        self._running: asyncio.Task[Verdict] | None = None
        self._schedule: asyncio.Task[None] | None = None
        self.last: Verdict | None = None
        self.failure: str | None = None  # why the last walk came to no verdict
        self.walks = 0

    def start(self) -> None:
        """Begin the schedule; without an interval (0) walks happen only on demand."""
        if self._interval_s > 0:
            self._schedule = asyncio.create_task(self._run_schedule(), name="verify schedule")

    async def verify(self) -> Verdict:
        """A fresh verdict. Raises VerifierError when the file could not be checked."""
        if self._upcoming is None:
            self._upcoming = asyncio.create_task(self._walk_after(self._running), name="verify")
        return await asyncio.shield(self._upcoming)

    async def close(self) -> None:
        """Stop the schedule and end a running walk."""
        tasks = [task for task in (self._schedule, self._upcoming, self._running) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run_schedule(self) -> None:
        delay_s = _FIRST_WALK_DELAY_S
        while True:
            await self._sleep(delay_s)
            before = self.last
            try:
                verdict = await self.verify()
            except VerifierError as error:
                _log.error("cannot verify the chain", reason=str(error))
            else:
                if before is not None and _same_break(before, verdict):
                    _log.error("the chain is still broken", first_break_at=verdict.first_break_at)
            delay_s = max(self._interval_s, self._took_s / _MAX_SHARE)

    async def _walk_after(self, earlier: asyncio.Task[Verdict] | None) -> Verdict:
        """Walk once the earlier walk has ended, so that there is never more than one process."""
        if earlier is not None:
            await asyncio.wait([earlier])
        try:
            verdict = await self._walk()
        except VerifierError as error:
            self.failure = str(error)
            raise
        self.failure = None
        self._note(verdict)
        self.last = verdict
        return verdict

    async def _walk(self) -> Verdict:
        head = self._head()
        self.walks += 1
        began_s = time.monotonic()
        try:
            return _read_answer(await self._ask_process(head))
        except OSError as error:  # no memory or no process left for another program
            raise VerifierError(f"the verifying process did not start: {error.strerror}") from None
        finally:
            self._took_s = time.monotonic() - began_s
            self._running = None
            if self._upcoming is asyncio.current_task():
                self._upcoming = None

    async def _ask_process(self, head: Head) -> bytes:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "audit_stream.logfile.process",
            str(self._path),
            *((str(head.event_id), head.hash) if head.event_id else ()),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            await process.stdout.readline()  # it begins to read: who asks from now on waits for the next walk
            self._running, self._upcoming = self._upcoming, None
            answer = await process.stdout.readline()
            await process.wait()
            return answer
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
                await process.wait()

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


def _read_answer(answer: bytes) -> Verdict:
    try:
        if b'"error"' in answer[:16]:
            raise VerifierError(msgspec.json.decode(answer)["error"])
        return msgspec.json.decode(answer, type=Verdict)
    except msgspec.DecodeError:
        raise VerifierError("the verifying process ended without a verdict") from None
