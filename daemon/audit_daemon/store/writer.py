"""The writer thread: the only place where the chain grows.

Whatever is queued when the disk is free goes into one transaction: number, link, hash, INSERT, COMMIT (one fsync),
and only then is every waiter told. So a commit's cost is shared by all who waited for the one before.

What a crash leaves behind, step by step:

- before COMMIT returns: the events may be on disk or not; nobody was told that they are. SQLite's recovery keeps a
  transaction whole or drops it, so ids stay gapless and the chain valid either way.
- after COMMIT returned: the events are on disk; waiters who were not told yet must ask again (Idempotency-Key).

When the disk refuses (full, I/O error), the state in memory is thrown away and read back from the file, because a
COMMIT that reports failure may still have happened. Waiters get StoreUnavailable in both cases: the outcome of a
failed fsync is not known (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020). Events
that turn out to be in the file are published to the tail, so that the stream has no gap.

Known gap: a disk that acknowledges an fsync without doing it cannot be noticed here.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence

import structlog

from audit_daemon.store.checkpoint import Checkpointer
from audit_daemon.store.protocol import IdempotencyConflict, IdempotencyKey, Receipt, StoreBusy, StoreUnavailable
from audit_stream.canonical import Prepared
from audit_stream.chain import GENESIS, Head, Linked, link
from audit_stream.logfile.errors import StoreError
from audit_stream.logfile.reader import load_head
from audit_stream.logfile.series import SeriesRegistry, SeriesUpdate
from audit_stream.logfile.spans import Spans, SpanUpdate

__all__ = ["Writer", "WriterLimits"]

_log = structlog.get_logger(__name__)

_COLUMNS = 6
_ROWS_A_STATEMENT = 128
"""Rows in one INSERT. Python gives up its interpreter lock around every statement and gets it back only when the event
loop lets go; with a statement a row, a busy loop slowed the writer by a factor of twenty (docs/design.md)."""

_EVENTS_A_COMMIT = 8192
"""Stop gathering here, so that the first waiter of a long queue is not kept for the last."""

_PROBE_INTERVAL_S = 1.0

_REPLACED = (
    "the database file was deleted or replaced while the daemon has it open: stop the daemon, put the right file "
    "in its place without the -wal and -shm of the other, and start it"
)
_IDEMPOTENCY_PRUNE_ROWS = 256


class WriterLimits:
    """How much may wait for the disk, and how long an idempotency key is remembered."""

    def __init__(
        self, *, max_events: int = 50_000, max_bytes: int = 64 << 20, key_lifetime_ms: int = 24 * 3600 * 1000
    ) -> None:
        self.max_events = max_events
        self.max_bytes = max_bytes
        self.key_lifetime_ms = key_lifetime_ms


class Ticket:
    """One append that waits for its commit. The future belongs to the event loop."""

    __slots__ = ("events", "future", "key", "size_bytes")

    def __init__(self, events: Sequence[Prepared], key: IdempotencyKey | None, future: asyncio.Future[Receipt]) -> None:
        self.events = events
        self.key = key
        self.future = future
        self.size_bytes = sum(len(event.middle) + len(event.tail) for event in events)


_Outcome = tuple[Ticket, Receipt | StoreError]


class _Transaction:
    """Everything that one commit will make true."""

    def __init__(self, head: Head, series: SeriesUpdate, spans: SpanUpdate) -> None:
        self.head = head
        self.series = series
        self.spans = spans
        self.linked: list[Linked] = []
        self.outcomes: list[_Outcome] = []
        self.keys: dict[tuple[str, str], tuple[bytes, int, int]] = {}

    def append(self, ticket: Ticket) -> None:
        """Put a ticket's events at the end of the chain."""
        linked = list(link(self.head, ticket.events))
        self.head = Head(linked[-1].event_id, linked[-1].hash)
        self.linked += linked
        receipt = Receipt(
            first_event_id=linked[0].event_id,
            last_event_id=self.head.event_id,
            latest_hash=self.head.hash,
            replayed=False,
            events=linked,
        )
        self.outcomes.append((ticket, receipt))
        if ticket.key is not None:
            row = (ticket.key.digest, receipt.first_event_id, receipt.last_event_id)
            self.keys[ticket.key.source, ticket.key.key] = row

    @property
    def touches_other_tables(self) -> bool:
        """Whether more than `events` is written; known once `event_values` has been read."""
        return bool(self.series.new_rows or self.spans.rows or self.keys)

    def event_values(self) -> list[object]:
        """All events' column values in one flat list, ready to bind."""
        values: list[object] = []
        number = self.series.number
        for event_id, prepared, canonical, hash_ in (
            (event.event_id, event.prepared, event.canonical, event.hash) for event in self.linked
        ):
            values += (event_id, *number((prepared.kind, prepared.source)), prepared.time_ms, hash_, canonical)
        return values


class Writer:
    """Owns the writing connection and the end of the chain.

    Of the event loop's thread: `submit`, `on_commit`. Of the writer thread: everything with an underscore.
    """

    def __init__(
        self,
        open_connection: Callable[[], sqlite3.Connection],
        *,
        identify: Callable[[], object],
        series: SeriesRegistry,
        spans: Spans,
        loop: asyncio.AbstractEventLoop,
        clock_ms: Callable[[], int],
        limits: WriterLimits,
    ) -> None:
        self._open_connection = open_connection
        self._identify = identify
        self._series = series
        self._spans = spans
        self._loop = loop
        self._clock_ms = clock_ms
        self._limits = limits

        self._lock = threading.Lock()  # guards the next three: submit adds, the writer thread takes away
        self._closing = False
        self.queued_events = 0
        self.queued_bytes = 0

        self._queue: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        self._listeners: list[Callable[[Sequence[Linked]], None]] = []
        self.head = GENESIS
        self.problem: str | None = None
        self.commits = 0
        self.failed_commits = 0

        self._opened_file: object = None  # which file the connection has open
        self._connection: sqlite3.Connection | None = None
        self._reopen()  # raises sqlite3.Error: a daemon that cannot write must not start
        self._checkpointer = Checkpointer(self._open_same_file)
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def on_commit(self, listener: Callable[[Sequence[Linked]], None]) -> None:
        """Call `listener` on the loop's thread with the events of each commit."""
        self._listeners.append(listener)

    def submit(self, events: Sequence[Prepared], key: IdempotencyKey | None) -> asyncio.Future[Receipt]:
        """Queue an append. Raises StoreBusy or StoreUnavailable, and then nothing is queued.

        The future's result means that the events are on disk; its exception is a StoreError.
        """
        ticket = Ticket(events, key, self._loop.create_future())
        with self._lock:
            if self._closing:
                raise StoreUnavailable("the daemon is stopping")
            if self.queued_events and (  # an empty queue takes anything, or a large batch could never be sent
                self.queued_events + len(events) > self._limits.max_events
                or self.queued_bytes + ticket.size_bytes > self._limits.max_bytes
            ):
                raise StoreBusy(
                    f"the write queue is full: {self.queued_events} events, {self.queued_bytes} bytes wait for the disk"
                )
            self.queued_events += len(events)
            self.queued_bytes += ticket.size_bytes
            self._queue.put(ticket)
        return ticket.future

    def close(self) -> None:
        """Commit what is queued, refuse what comes after, end the thread. Blocks; not for the loop's thread."""
        with self._lock:
            self._closing = True
            self._queue.put(None)
        self._thread.join()
        self._checkpointer.stop()
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._connection.close()

    def _run(self) -> None:
        while True:
            tickets, closing = self._take()
            if tickets:
                self._commit(tickets)
            elif self.problem is not None and not closing:
                self._probe()
            if closing:
                return

    def _take(self) -> tuple[list[Ticket], bool]:
        """Wait for something to write, then gather all that is queued. True: nothing more will come."""
        tickets: list[Ticket] = []
        count = 0
        try:
            item = self._queue.get(timeout=None if self.problem is None else _PROBE_INTERVAL_S)
            while item is not None:
                tickets.append(item)
                count += len(item.events)
                if count >= _EVENTS_A_COMMIT:
                    return tickets, False
                item = self._queue.get_nowait()
        except queue.Empty:
            return tickets, False
        return tickets, True

    def _commit(self, tickets: list[Ticket]) -> None:
        try:
            connection = self._connection or self._reopen()
            if self._identify() != self._opened_file:  # what is written to a deleted file is gone with the daemon
                raise sqlite3.OperationalError(_REPLACED)
            transaction = self._plan(connection, tickets)
            if transaction.linked:
                self._write(connection, transaction)
        except sqlite3.IntegrityError as error:
            _log.error("somebody else wrote into the database file", reason=str(error))
            self._fail(tickets, f"somebody else wrote into the database file: {error}")
        except sqlite3.Error as error:
            self._fail(tickets, f"the disk refused the events: {error}")
        except Exception as error:  # noqa: BLE001 - the boundary of the thread: a waiter must be told, and the thread must live on
            _log.exception("commit failed")
            self._fail(tickets, f"the store failed: {type(error).__name__}")
        else:
            self._settle(tickets, transaction)

    def _plan(self, connection: sqlite3.Connection, tickets: list[Ticket]) -> _Transaction:
        """Decide each ticket: append it, replay an earlier answer, or refuse a key that was used for another body."""
        transaction = _Transaction(self.head, self._series.begin(), self._spans.begin())
        for ticket in tickets:
            earlier = self._earlier(connection, transaction, ticket.key)
            if earlier is None:
                transaction.append(ticket)
            else:
                transaction.outcomes.append((ticket, earlier))
        return transaction

    def _earlier(
        self, connection: sqlite3.Connection, transaction: _Transaction, key: IdempotencyKey | None
    ) -> Receipt | StoreError | None:
        if key is None:
            return None
        row = (
            transaction.keys.get((key.source, key.key))
            or connection.execute(
                "SELECT digest, first_event_id, last_event_id FROM idempotency"
                " WHERE source = ? AND key = ? AND time_ms > ?",
                (key.source, key.key, self._clock_ms() - self._limits.key_lifetime_ms),
            ).fetchone()
        )
        if row is None:
            return None
        digest, first_event_id, last_event_id = row
        if digest != key.digest:
            return IdempotencyConflict(
                "this Idempotency-Key was used by this source for another body: use a new key for a new event"
            )
        in_transaction = {event.event_id: event.hash for event in transaction.linked}
        latest_hash = in_transaction.get(last_event_id) or _hash_at(connection, last_event_id)
        return Receipt(
            first_event_id=first_event_id, last_event_id=last_event_id, latest_hash=latest_hash, replayed=True
        )

    def _write(self, connection: sqlite3.Connection, transaction: _Transaction) -> None:
        values = transaction.event_values()
        transaction.spans.add(transaction.linked[0].event_id, [event.prepared.time_ms for event in transaction.linked])
        step = _ROWS_A_STATEMENT * _COLUMNS
        if len(values) <= step and not transaction.touches_other_tables:
            connection.execute(_insert(len(values) // _COLUMNS), values)  # commits by itself
            return
        execute = connection.execute
        execute("BEGIN IMMEDIATE")
        if transaction.series.new_rows:
            connection.executemany("INSERT INTO series VALUES (?, ?, ?)", transaction.series.new_rows)
        for start in range(0, len(values), step):
            chunk = values[start : start + step]
            execute(_insert(len(chunk) // _COLUMNS), chunk)
        if transaction.spans.rows:
            connection.executemany("INSERT OR REPLACE INTO spans VALUES (?, ?, ?)", transaction.spans.rows)
        if transaction.keys:
            self._write_keys(connection, transaction)
        execute("COMMIT")

    def _write_keys(self, connection: sqlite3.Connection, transaction: _Transaction) -> None:
        now_ms = self._clock_ms()
        connection.executemany(
            "INSERT OR REPLACE INTO idempotency VALUES (?, ?, ?, ?, ?, ?)",
            [(source, key, *row, now_ms) for (source, key), row in transaction.keys.items()],
        )
        connection.execute(
            "DELETE FROM idempotency WHERE (source, key) IN"
            " (SELECT source, key FROM idempotency WHERE time_ms <= ? LIMIT ?)",
            (now_ms - self._limits.key_lifetime_ms, _IDEMPOTENCY_PRUNE_ROWS + len(transaction.keys)),
        )

    def _settle(self, tickets: list[Ticket], transaction: _Transaction) -> None:
        """The commit is on disk: take over its state, then tell the tail and every waiter."""
        if transaction.linked:
            transaction.series.apply()
            self._spans.apply(transaction.spans)
            self.head = transaction.head
            self.commits += 1
            self._recovered()
        self._deliver(tickets, transaction.outcomes, transaction.linked)
        if transaction.linked and self._connection is not None:
            self._checkpointer.wrote(sum(len(event.canonical) + 128 for event in transaction.linked) + 16_384)
            self._checkpointer.finish(self._connection)

    def _fail(self, tickets: list[Ticket], reason: str) -> None:
        """The commit failed, or says so: read back what is true, then answer every waiter."""
        if self.problem is None:
            _log.error("cannot append", reason=reason)
        self.problem = reason
        self.failed_commits += 1
        self._disconnect()
        try:
            self._reopen()
        except Exception as error:  # noqa: BLE001 - as in _commit: the waiters below must be told
            self.problem = f"{reason}; reading the file back failed too: {str(error) or type(error).__name__}"
        self._deliver(tickets, [(ticket, StoreUnavailable(reason)) for ticket in tickets], [])

    def _reopen(self) -> sqlite3.Connection:
        """Open the file and take its end of the chain as the truth; the tail gets what it has not seen of it.

        Raises sqlite3.Error, and then nothing has changed.
        """
        if self._opened_file is not None and self._identify() != self._opened_file:
            # What stands at the path now must not be touched: SQLite would take the other file's log for its own.
            raise sqlite3.OperationalError(_REPLACED)
        connection = self._open_connection()
        try:
            head = load_head(connection)
            if head.event_id < self.head.event_id:
                raise sqlite3.DatabaseError(
                    f"the file ends at event #{head.event_id}, but #{self.head.event_id} was acknowledged: "
                    "it was replaced or cut; restart the daemon to go on from it"
                )
            if self.head.event_id and _hash_at(connection, self.head.event_id) != self.head.hash:
                raise sqlite3.DatabaseError(
                    f"the file holds another event #{self.head.event_id} than was acknowledged: it was replaced or "
                    "edited; restart the daemon to go on from it"
                )
            unseen = _read_linked(connection, self.head.event_id) if self.failed_commits else []
            self._series.load(connection)
            self._spans.load(connection, head.event_id)
        except BaseException:
            connection.close()
            raise
        self.head = head
        self._connection = connection
        self._opened_file = self._identify()
        self._deliver([], [], unseen)
        return connection

    def _open_same_file(self) -> sqlite3.Connection:
        """Another connection to the file that is open. In any thread; raises sqlite3.Error when it was replaced."""
        if self._identify() != self._opened_file:
            raise sqlite3.OperationalError(_REPLACED)
        return self._open_connection()

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.rollback()
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
        self._connection = None

    def _probe(self) -> None:
        """While appends fail: see whether the disk takes a small write again, also when nobody posts."""
        try:
            connection = self._connection or self._reopen()
            connection.execute("UPDATE head SET event_id = event_id")
        except Exception:  # noqa: BLE001 - whatever it is, the thread lives on and looks again
            self._disconnect()
        else:
            self._recovered()

    def _recovered(self) -> None:
        if self.problem is not None:
            _log.warning("can append again", was=self.problem)
            self.problem = None

    def _deliver(self, tickets: list[Ticket], outcomes: list[_Outcome], linked: Sequence[Linked]) -> None:
        with self._lock:
            self.queued_events -= sum(len(ticket.events) for ticket in tickets)
            self.queued_bytes -= sum(ticket.size_bytes for ticket in tickets)
        # A closed loop has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._tell, outcomes, linked)

    def _tell(self, outcomes: list[_Outcome], linked: Sequence[Linked]) -> None:
        """On the loop's thread: resolve the waiters that are still there, then hand the events to the tail."""
        for ticket, outcome in outcomes:
            if ticket.future.done():  # the waiter was cancelled: its producer hung up
                continue
            if isinstance(outcome, StoreError):
                ticket.future.set_exception(outcome)
            else:
                ticket.future.set_result(outcome)
        if linked:
            for listener in self._listeners:
                listener(linked)


def _insert(rows: int) -> str:
    return "INSERT INTO events VALUES (?,?,?,?,?,?)" + ",(?,?,?,?,?,?)" * (rows - 1)


def _hash_at(connection: sqlite3.Connection, event_id: int) -> str:
    row = connection.execute("SELECT hash FROM events WHERE event_id = ?", (event_id,)).fetchone()
    return str(row[0]) if row else ""


def _read_linked(connection: sqlite3.Connection, after_id: int) -> list[Linked]:
    """Events that are in the file although their commit was reported as failed."""
    rows = connection.execute(
        "SELECT event_id, kind, source, time_ms, hash, canonical FROM events JOIN series USING (series_id)"
        " WHERE event_id > ? ORDER BY event_id",
        (after_id,),
    ).fetchall()
    return [
        Linked(event_id, Prepared(kind, source, time_ms, b"", b""), canonical, hash_)
        for event_id, kind, source, time_ms, hash_, canonical in rows
    ]
