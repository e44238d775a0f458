"""One daemon (or file) as long as the console looks at it: connect, stream, resume, back off, verify.

    tail ─▶ inbox (bounded) ─▶ drain(), ten times a second ─▶ ring ─▶ view, activity, integrity

Everything here belongs to the event loop's thread. Nothing here knows the screen: it calls `on_change` when something
other than events has changed, and the screen asks.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Callable

from audit_stream.chain import GENESIS, Head
from audit_stream.client import Live, Lost, OtherHistory, RawEvent, Stats
from audit_stream.client.failures import back_off_s
from audit_stream.errors import ClientError
from audit_stream.kinds import DEFAULT_KINDS, KindRegistry
from audit_stream.timestamps import time_ms_or_none
from audit_tui.clock import SYSTEM_CLOCK, Clock
from audit_tui.comparing import Comparing
from audit_tui.intake import Intake
from audit_tui.log import Log
from audit_tui.model.activity import Activity
from audit_tui.model.alerts import UnacknowledgedAlert
from audit_tui.model.connection import Connection, ConnectionState
from audit_tui.model.ring import MAX_ROWS
from audit_tui.model.rows import Row
from audit_tui.model.view import View
from audit_tui.pages import Pages

__all__ = ["FIRST_PAGE", "Session"]

FIRST_PAGE = 300
"""Events that are asked for at first: more than any screen shows, few enough to be there at once."""

_INBOX_EVENTS = 20_000
_INBOX_BYTES = 16 << 20
"""Beyond either reading waits, and the daemon keeps what follows: it loses nothing by a slow reader."""

_DRAIN_EVENTS = 2_000
"""Handled in one turn of the event loop, some 20 ms, so that keys are answered while a backlog comes in."""

_COMPARE_AGAIN_S = 1.0
_REMEMBER_EVERY_S = 1.0
_MAX_FAILURES = 10
"""Where waiting gets no longer."""


class Session:
    """`run` until it is cancelled; `drain` from a timer. `known_heads` were remembered from earlier sessions.

    After an absence in which more than `most_behind` events came, it goes on at the live end.
    """

    def __init__(
        self,
        log: Log,
        *,
        verify_every_s: float = 30.0,
        known_heads: tuple[Head, ...] = (),
        unacknowledged: tuple[UnacknowledgedAlert, ...] = (),
        on_change: Callable[[], None] = lambda: None,
        remember: Callable[[Head], None] = lambda head: None,
        clock: Clock = SYSTEM_CLOCK,
        most_behind: int = MAX_ROWS,
    ) -> None:
        self.log = log
        self.clock = clock
        self.on_change = on_change
        self._intake = Intake(log.url, known_heads, verify_every_s=verify_every_s, clock=clock)
        self._comparing = Comparing(
            log, self._intake, remember=remember, on_change=lambda: self.on_change(), clock=clock
        )
        self.ring = self._intake.ring
        self.integrity = self._intake.integrity
        self.notices = self._intake.notices
        self.cuts = self._comparing.cuts
        self.view = View(on_broken=self._intake.found_broken)
        self.pages = Pages(log, self.ring, self.view, self._intake.read_again)
        self.activity = Activity()
        self.connection = Connection()
        self.stats: Stats | None = None
        self.delay_ms: float | None = None
        self._most_behind = most_behind
        self._inbox: deque[RawEvent] = deque()
        self._inbox_bytes = 0
        self._failures = 0
        self._room = asyncio.Event()
        self._up = asyncio.Event()
        self._verify_now = asyncio.Event()
        self._catch_up_to = 0
        self._follow_anew: Callable[[], asyncio.Task[None]] | None = None
        self._following: asyncio.Task[None] | None = None
        self.integrity.restore(unacknowledged)
        if known_heads:
            self.integrity.not_compared("not asked yet")

    @property
    def kinds(self) -> KindRegistry:
        """The kinds of this log, with those that only it has."""
        return self._intake.kinds

    @property
    def known_heads(self) -> tuple[Head, ...]:
        """The heads that were remembered from earlier sessions, the newest first."""
        return self._intake.known_heads

    async def run(self) -> None:
        """Follow and verify for ever; a daemon that is away is a state, never an error."""
        async with asyncio.TaskGroup() as group:
            self._follow_anew = lambda: group.create_task(self._follow(), name="follow")
            self._following = self._follow_anew()
            group.create_task(self._verify(), name="verify")
            group.create_task(self._compare_heads(), name="compare heads")

    def verify_now(self) -> None:
        """Ask for a verdict without waiting for the period's end."""
        self._verify_now.set()

    async def accept_history(self, shown: Head = GENESIS) -> Head:
        """A person has accepted the history that there is now: let go what is known of another one. Returns its head.

        `shown` is the head that the person was shown. Copies of what is gone are kept until the session ends. Raises
        ClientError when the log does not say what it holds, or no longer holds `shown`; then nothing is let go.
        """
        if shown.event_id and not await self._comparing.holds(shown):
            raise ClientError(
                f"the log has changed again: it no longer holds #{shown.event_id}, so nothing was accepted"
            )
        await self._look_for_cut()  # what is let go below may be the only copy
        await self._comparing.settle_cuts()
        head = (await self.log.stats()).head
        self._comparing.forget()
        self._let_go()
        self._begin_following()
        self.verify_now()
        return head

    def _begin_following(self) -> None:
        if self._following is not None and self._follow_anew is not None:
            self._following.cancel()  # the tail knows its place in the other history
            self._following = self._follow_anew()

    # What the timer calls

    def drain(self) -> int:
        """Take in what has come since the last call; returns how many events it was."""
        count = min(len(self._inbox), _DRAIN_EVENTS)
        if not count:
            return 0
        served = [self._inbox.popleft() for _ in range(count)]
        self._inbox_bytes -= sum(len(each.raw) for each in served)
        rows = self._intake.add(served)
        self._room.set()
        now_s = self.clock.now_s()
        live = self.connection.state is ConnectionState.LIVE
        self.view.grow(rows)
        self.activity.add_many(rows, now_s, live=live)
        if rows:
            newest = rows[-1]
            stamped = time_ms_or_none(newest.timestamp) if live else None
            self.delay_ms = None if stamped is None else max(0.0, self.clock.now_ms() - stamped)
            self._tell_growth()
            self._note_catching_up(newest.event_id)
            self._comparing.remember_newest(every_s=_REMEMBER_EVERY_S)
        return count

    def remember_newest(self) -> None:
        """Keep the newest event's id and hash for later sessions."""
        self._comparing.remember_newest()

    def observe(self, row: Row, before: Row | None) -> None:
        """An event was read again and checked, by whatever screen: it must hold, and be what it was before."""
        self._intake.observe(row, before)
        self.on_change()

    # Following

    async def _follow(self) -> None:
        while True:
            self._state(Connection(state=ConnectionState.CONNECTING))
            try:
                await self._open()
                await self._tail()
            except ClientError as error:
                refused = error.status is not None and 400 <= error.status < 500
                # Who refuses is not asked sooner for having refused seldom.
                wait_s = back_off_s(_MAX_FAILURES if refused else self._failures, random.random())  # noqa: S311
                self._failures = min(self._failures + 1, _MAX_FAILURES)
                self._lost(str(error), wait_s, refused=refused)
                await asyncio.sleep(wait_s)

    async def _open(self) -> None:
        """Learn what there is and show the end of the log, unless something is shown already."""
        self.stats = await self.log.stats()
        if self.stats.severities:
            extra = ",".join(f"{kind}:{label}" for kind, label in self.stats.severities.items())
            with contextlib.suppress(ValueError):
                self._intake.kinds = DEFAULT_KINDS.with_extra(extra)
        self.activity.kinds = self.kinds
        self.activity.seed(self.stats.by_kind, self.stats.by_source, up_to_id=self.stats.head.event_id)
        if not len(self.ring):
            await self._load_end()
            return
        if not await self._look_for_cut():  # a tail begun anew knows its place by id only
            self._intake.seen_ms = self.clock.now_ms()
        if not len(self.ring):
            await self._load_end()

    async def _look_for_cut(self) -> bool:
        """Whether the log has lost the newest event that was received; then what was received is kept as evidence."""
        await self._drain_all()
        seen = self.ring.head
        if seen == GENESIS or await self._comparing.holds(seen):
            return False
        head = (await self.log.stats()).head
        if self.ring.hash_of(seen.event_id) != seen.hash:
            return False  # the tail has found it meanwhile
        self._other_history(seen, head)
        return True

    async def _load_end(self) -> bool:
        """Take the newest events in; False when none of them is new."""
        new = self._intake.add([served async for served in self.log.events(limit=FIRST_PAGE)], in_one_answer=True)
        self.view.grow(new)
        self._tell_growth()
        self.on_change()
        return bool(new)

    async def _tail(self) -> None:
        async with contextlib.aclosing(self.log.tail(since_id=self.ring.head.event_id)) as tailed:
            async for item in tailed:
                match item:
                    case RawEvent():
                        self._inbox.append(item)
                        self._inbox_bytes += len(item.raw)
                        if len(self._inbox) >= _INBOX_EVENTS or self._inbox_bytes >= _INBOX_BYTES:
                            self._room.clear()
                            await self._room.wait()
                    case Live():
                        if not await self._live(item):
                            return
                    case Lost():
                        self._lost(item.reason, item.retry_in_s)
                    case OtherHistory():
                        await self._drain_all()  # what was on its way is as much of the other history
                        self._other_history(item.seen, item.head)
                        await self._load_end()
                        return

    async def _live(self, live: Live) -> bool:
        """The stream is there; False when so much came meanwhile that it is better begun anew at the live end."""
        self.stats = await self.log.stats()
        left = self.stats.head.event_id - live.after_id
        self.integrity.connected()
        self.activity.resumed(self.clock.now_s())
        if left > self._most_behind:  # more than fits: the newest come at once, and a row says what lies between
            await self._drain_all()
            if not await self._load_end():
                claimed = self.stats.head.event_id
                raise ClientError(f"the log says that it holds event #{claimed}, and does not give it", status=200)
            self.notices.append(f"{left:,} events came meanwhile: going on at the live end")
            return False
        self._catch_up_to = self.stats.head.event_id
        self._connected(left)
        self._failures = 0
        self._up.set()
        self._intake.comparison_wanted.set()
        if self.integrity.verdicts.failure:  # the daemon was away: nobody should wait a whole period for the next
            self._verify_now.set()
        return True

    async def _drain_all(self) -> None:
        while self.drain():  # noqa: ASYNC110 - it polls nothing: it lets keys be answered between two slices
            await asyncio.sleep(0)

    def _note_catching_up(self, event_id: int) -> None:
        if self.connection.state is ConnectionState.CATCHING_UP:
            self._connected(self._catch_up_to - event_id)

    def _connected(self, left: int) -> None:
        behind = Connection(state=ConnectionState.CATCHING_UP, left=left)
        self._state(behind if left > 0 and len(self.ring) else Connection(state=ConnectionState.LIVE))

    def _lost(self, reason: str, retry_in_s: float, *, refused: bool = False) -> None:
        self._up.clear()
        now_s = self.clock.now_s()
        self.integrity.disconnected(reason)
        self.activity.paused(now_s)
        self._state(
            Connection(
                state=ConnectionState.REFUSED if refused else ConnectionState.RETRYING,
                reason=reason,
                retry_at_s=now_s + retry_in_s,
            )
        )

    def _let_go(self) -> None:
        """Forget all that was received."""
        self._inbox.clear()
        self._inbox_bytes = 0
        self._room.set()
        self.ring.part_with()
        self.view.begin(self.ring)

    def _other_history(self, seen: Head, head: Head) -> None:
        """The log, whose head is `head`, no longer holds `seen`: begin anew."""
        self._comparing.lost(seen, head)
        self._let_go()

    def _tell_growth(self) -> None:
        head = self.ring.head
        if head != GENESIS or (self.stats is not None and self.stats.head == GENESIS):
            self.integrity.chain_grew(self.ring.linked_from, head)

    def _state(self, connection: Connection) -> None:
        if connection != self.connection:
            self.connection = connection
            self.on_change()

    # Verifying

    async def _verify(self) -> None:
        while True:
            await self._up.wait()
            self.integrity.verification_started(self.clock.now_s())
            self.on_change()
            try:
                verdict = await self.log.verify()
            except ClientError as error:
                self.integrity.verification_failed(str(error), now_ms=self.clock.now_ms(), now_s=self.clock.now_s())
            else:
                await self._drain_all()  # what the verdict speaks of should have been seen here too
                was_rewritten = self.integrity.is_rewritten
                self.integrity.verification_ended(verdict, now_ms=self.clock.now_ms(), now_s=self.clock.now_s())
                self._comparing.remember_verified(verdict)
                self._comparing.note_returned()
                if self.integrity.is_rewritten and not was_rewritten:
                    self._intake.comparison_wanted.set()  # what this console has had is to be kept, if it is gone
            self.on_change()
            self._verify_now.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.05, self.integrity.verdicts.next_in_s(self.clock.now_s()))):
                    await self._verify_now.wait()

    async def _compare_heads(self) -> None:
        """Whether the log still holds what earlier sessions saw, each time that it has been connected to."""
        while True:
            await self._intake.comparison_wanted.wait()
            self._intake.comparison_wanted.clear()
            try:
                if self.integrity.is_rewritten and await self._look_for_cut():
                    self._begin_following()
                await self._comparing.settle_cuts()
                await self._comparing.compare_heads()
            except ClientError as error:  # the stream may hold all the same, so this is for us to try again
                self.integrity.not_compared(str(error))
                self._intake.comparison_wanted.set()
                await asyncio.sleep(_COMPARE_AGAIN_S)
            else:
                self.integrity.compared()
                if self.integrity.last_verdict is not None:  # it came before this was known
                    self._comparing.remember_verified(self.integrity.last_verdict)
            self.on_change()
