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

When one of the store's files was deleted, replaced or cut, a COMMIT can succeed into a file that nobody will find
again. So each commit is followed by a look at the files (`files.py`), and only then are waiters told. From the first
finding on nothing is acknowledged any more, and everything that was is saved into a file of its own (`rescue.py`).

Known gap: a disk that acknowledges an fsync without doing it cannot be noticed here.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic

import structlog

from audit_daemon.store.acknowledged import Acknowledged, check_not_shorter
from audit_daemon.store.checkpoint import Checkpointer, checkpoint
from audit_daemon.store.files import Files, FilesChanged
from audit_daemon.store.lock import FileLock
from audit_daemon.store.protocol import AppendResult, IdempotencyConflict, IdempotencyKey, StoreBusy, StoreUnavailable
from audit_daemon.store.rescue import KEPT_EVENTS, KeyRow, Unsaved, rescue
from audit_stream.canonical import UnlinkedEvent
from audit_stream.chain import GENESIS, ChainedEvent, Head, link
from audit_stream.logfile.errors import StoreError
from audit_stream.logfile.opening import open_reader
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

_LOOK_INTERVAL_S = 1.0
"""How often the files are looked at, and a disk that failed is tried, when nobody posts."""

_CLOSE_S = 4.0
"""What a disk gets to answer in at the end; what it has not confirmed by then was not acknowledged."""
_RESCUE_CLOSE_S = 60.0

_IDEMPOTENCY_PRUNE_ROWS = 256

_WRITES_AND_CHANGES_NOTHING = (
    "BEGIN IMMEDIATE",
    "UPDATE head SET event_id = event_id + 1",  # SQLite writes no page for a value that is there already
    "UPDATE head SET event_id = event_id - 1",
    "COMMIT",
)
"""Shows whether the disk takes something."""

_WRITE_LOCKED = (
    "another program holds the database's write lock: end its transaction, such as a BEGIN IMMEDIATE in a sqlite3 shell"
)
_STOPPING = (
    "the daemon is stopping and the disk has not answered, so that it is not known whether the event was stored: "
    "send it again with the same Idempotency-Key"
)


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

    def __init__(
        self, events: Sequence[UnlinkedEvent], key: IdempotencyKey | None, future: asyncio.Future[AppendResult]
    ) -> None:
        self.events = events
        self.key = key
        self.future = future
        self.size_bytes = sum(len(event.middle) + len(event.tail) for event in events)


_Outcome = tuple[Ticket, AppendResult | StoreError]


class _Transaction:
    """Everything that one commit will make true."""

    def __init__(self, head: Head, series: SeriesUpdate, spans: SpanUpdate) -> None:
        self.head = head
        self.series = series
        self.spans = spans
        self.linked: list[ChainedEvent] = []
        self.outcomes: list[_Outcome] = []
        self.keys: dict[tuple[str, str], tuple[bytes, int, int]] = {}
        self.key_rows: list[KeyRow] = []

    def append(self, ticket: Ticket) -> None:
        """Put a ticket's events at the end of the chain."""
        linked = list(link(self.head, ticket.events))
        self.head = Head(linked[-1].event_id, linked[-1].hash)
        self.linked += linked
        receipt = AppendResult(
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
        database: Path,
        open_connection: Callable[[], sqlite3.Connection],
        *,
        series: SeriesRegistry,
        spans: Spans,
        loop: asyncio.AbstractEventLoop,
        clock_ms: Callable[[], int],
        uptime_ms: Callable[[], int],
        limits: WriterLimits,
        file_lock: FileLock,
        on_lost: Callable[[], None],
    ) -> None:
        """`file_lock` is looked after here, and released by whoever gave it.

        `on_lost` is called on the loop's thread when `lost` has been set, and again when `rescued` or it failed.
        """
        self._database = database
        self._open_connection = open_connection
        self._series = series
        self._spans = spans
        self._loop = loop
        self._uptime_ms = uptime_ms
        self._limits = limits

        self._lock = threading.Lock()  # guards the next three: submit adds, the writer thread takes away
        self._closing = False
        self.queued_events = 0
        self.queued_bytes = 0

        self._queue: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        self._unanswered: set[Ticket] = set()  # of the loop's thread
        self._listeners: list[Callable[[Sequence[ChainedEvent]], None]] = []
        self._on_lost = on_lost
        self._file_lock = file_lock
        self._lock_problem: str | None = None
        self._kept_s = monotonic()
        self.head = GENESIS
        self._head_rows = 1  # 0 in a file where somebody deleted it: the trigger then has nothing to update
        self.problem: str | None = None
        self.commits = 0
        self.failed_commits = 0

        self.lost: str | None = None  # what happened to the files; nothing is acknowledged any more
        self.rescued: Path | None = None

        self._files: Files | None = None
        self._unsaved = Unsaved()
        self._connection: sqlite3.Connection | None = None
        with contextlib.ExitStack() as undo:
            self._record = Acknowledged(database)
            undo.callback(self._record.close)
            connection = self._reopen()  # raises sqlite3.Error: a daemon that cannot write must not start
            undo.callback(connection.close)
            check_not_shorter(database, connection, self.head)
            self._keys_begin_ms = _newest_key_ms(connection, clock_ms()) - uptime_ms()
            with contextlib.suppress(sqlite3.Error):  # or the log has what is not in `_unsaved`
                checkpoint(connection)
            newest = _read_linked(connection, max(0, self.head.event_id - KEPT_EVENTS))
            if len(newest) == min(self.head.event_id, KEPT_EVENTS) > 0:  # or somebody has removed some
                self._unsaved.add(newest)
            self._witness = open_reader(database, cache_kib=512)  # has the files open, whatever happens to their names
            undo.callback(self._witness.close)
            load_head(self._witness)
            self._files = Files(database)
            undo.pop_all()
        self._record.write(self.head)
        self._checkpointer = Checkpointer(self._open_same_file)
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def on_commit(self, listener: Callable[[Sequence[ChainedEvent]], None]) -> None:
        """Call `listener` on the loop's thread with the events of each commit."""
        self._listeners.append(listener)

    def submit(self, events: Sequence[UnlinkedEvent], key: IdempotencyKey | None) -> asyncio.Future[AppendResult]:
        """Queue an append. Raises StoreBusy or StoreUnavailable, and then nothing is queued.

        The future's result means that the events are on disk; its exception is a StoreError.
        """
        ticket = Ticket(events, key, self._loop.create_future())
        with self._lock:
            if self._closing:
                raise StoreUnavailable("the daemon is stopping")
            if self.lost is not None:
                raise StoreUnavailable(self.problem or self.lost)
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
        self._unanswered.add(ticket)
        return ticket.future

    def give_up(self) -> None:
        """Tell every waiter that the outcome of its append is not known: the disk hangs, and the daemon stops."""
        for ticket in self._unanswered:
            if not ticket.future.done():
                ticket.future.set_exception(StoreUnavailable(_STOPPING))
        self._unanswered.clear()

    def close(self) -> bool:
        """Commit what is queued, refuse what comes after, end the thread. Blocks; not for the loop's thread.

        False when the disk did not answer in time: what hangs there ends with the process.
        """
        with self._lock:
            self._closing = True
            self._queue.put(None)
        self._thread.join(_CLOSE_S)
        if self.lost is not None:  # everything that was acknowledged is being saved
            self._thread.join(_RESCUE_CLOSE_S)
        return not self._thread.is_alive()

    def close_files(self) -> None:
        """Give the files back; after the last connection to them was closed."""
        if self._files is not None:
            self._files.close()

    def check_files(self) -> None:
        """Raise FilesChanged when a name does not lead to the file that is open. In any thread."""
        if self._files is not None:
            self._files.check_names()

    def _run(self) -> None:
        while True:
            tickets, closing = self._take()
            if self.lost is not None:
                self._refuse(tickets, self.problem or self.lost)
            elif tickets:
                self._commit(tickets)
                if monotonic() > self._kept_s + _LOOK_INTERVAL_S:
                    self._keep_beside()
            elif not closing:
                self._look()
            if closing:
                self._finish()
                return

    def _finish(self) -> None:
        """Leave one file that needs no recovery; files that are not ours any more are left as they are."""
        if self.lost is None and self.problem is None:
            self._look()
        stopped = self._checkpointer.stop(_CLOSE_S)
        if self._connection is not None:
            if self.lost is None and stopped:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._connection.close()
        self._witness.close()
        self._record.close()

    def _take(self) -> tuple[list[Ticket], bool]:
        """Wait for something to write, then gather all that is queued. True: nothing more will come."""
        tickets: list[Ticket] = []
        count = 0
        try:
            item = self._queue.get(timeout=_LOOK_INTERVAL_S)
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
            connection, files = self._connection or self._reopen(), self._open_files
            transaction = self._plan(connection, tickets)
            files.check_log()
            if transaction.linked:
                self._write(connection, transaction)
                files.check()  # or the events are in a file that nobody will find again
                self._record.write(transaction.head)
        except FilesChanged as error:
            self._lose(tickets, str(error))
        except sqlite3.IntegrityError as error:
            _log.error("somebody else wrote into the database file", reason=str(error))
            self._fail(tickets, f"somebody else wrote into the database file: {error}")
        except (sqlite3.Error, OSError) as error:
            self._fail(tickets, _reason(error))
        except Exception as error:  # noqa: BLE001 - the boundary of the thread: a waiter must be told, and the thread must live on
            _log.exception("commit failed")
            self._fail(tickets, f"the store failed: {type(error).__name__}")
        else:
            self._settle(tickets, transaction)

    @property
    def _open_files(self) -> Files:
        assert self._files is not None, "they are open from the writer's construction on"
        return self._files

    def _plan(self, connection: sqlite3.Connection, tickets: list[Ticket]) -> _Transaction:
        """Decide each ticket: append it, replay an earlier answer, or refuse a key that was used for another body."""
        transaction = _Transaction(self.head, self._series.begin(), self._spans.begin())
        for ticket in tickets:
            earlier = self._earlier(connection, transaction, ticket)
            if earlier is None:
                transaction.append(ticket)
            else:
                transaction.outcomes.append((ticket, earlier))
        return transaction

    def _earlier(
        self, connection: sqlite3.Connection, transaction: _Transaction, ticket: Ticket
    ) -> AppendResult | StoreError | None:
        key = ticket.key
        if key is None:
            return None
        in_transaction = transaction.keys.get((key.source, key.key))
        row = (
            in_transaction
            or connection.execute(
                "SELECT digest, first_event_id, last_event_id FROM idempotency"
                " WHERE source = ? AND key = ? AND time_ms > ?",
                (key.source, key.key, self._key_time_ms() - self._limits.key_lifetime_ms),
            ).fetchone()
        )
        if row is None:
            return None
        digest, first_event_id, last_event_id = row
        if digest != key.digest:
            return IdempotencyConflict(
                "this Idempotency-Key was used by this source for another body: use a new key for a new event"
            )
        if in_transaction is not None:
            latest_hash = transaction.linked[last_event_id - transaction.linked[-1].event_id - 1].hash
        elif 0 < first_event_id <= last_event_id <= self.head.event_id and _are_theirs(
            connection, first_event_id, last_event_id, ticket.events
        ):
            latest_hash = _hash_at(connection, last_event_id)
        else:
            _log.error(
                "a retry key in the database names events that were not asked for", source=key.source, key=key.key
            )
            return None
        return AppendResult(
            first_event_id=first_event_id, last_event_id=last_event_id, latest_hash=latest_hash, replayed=True
        )

    def _write(self, connection: sqlite3.Connection, transaction: _Transaction) -> None:
        values = transaction.event_values()
        transaction.spans.add(transaction.linked[0].event_id, [event.prepared.time_ms for event in transaction.linked])
        step = _ROWS_A_STATEMENT * _COLUMNS
        before = connection.total_changes
        if len(values) <= step and not transaction.touches_other_tables:
            inserted = connection.execute(_insert(len(values) // _COLUMNS), values).rowcount  # commits by itself
            self._check_written(inserted, connection.total_changes - before, transaction)
            return
        execute = connection.execute
        execute("BEGIN IMMEDIATE")
        inserted = 0
        for start in range(0, len(values), step):
            chunk = values[start : start + step]
            inserted += execute(_insert(len(chunk) // _COLUMNS), chunk).rowcount
        self._check_written(inserted, connection.total_changes - before, transaction)
        _insert_all(connection, "INSERT INTO series VALUES (?, ?, ?)", transaction.series.new_rows)
        _insert_all(connection, "INSERT OR REPLACE INTO spans VALUES (?, ?, ?)", transaction.spans.rows)
        if transaction.keys:
            self._write_keys(connection, transaction)
        execute("COMMIT")

    def _check_written(self, inserted: int, changed: int, transaction: _Transaction) -> None:
        """Raise IntegrityError unless the events, and the head with each, were written and nothing else was.

        `inserted` is without what triggers do, `changed` with it: what one drops, another row cannot make up for.
        """
        count = len(transaction.linked)
        wanted = count * (1 + self._head_rows)
        if inserted != count or changed != wanted:
            raise sqlite3.IntegrityError(
                f"{changed} rows were written instead of {wanted}, {inserted} of them events instead of {count}: "
                "there is a trigger that is not ours, or ours is gone"
            )

    def _write_keys(self, connection: sqlite3.Connection, transaction: _Transaction) -> None:
        now_ms = self._key_time_ms()
        transaction.key_rows = [(source, key, *row, now_ms) for (source, key), row in transaction.keys.items()]
        _insert_all(connection, "INSERT OR REPLACE INTO idempotency VALUES (?, ?, ?, ?, ?, ?)", transaction.key_rows)
        connection.execute(
            "DELETE FROM idempotency WHERE (source, key) IN"
            " (SELECT source, key FROM idempotency WHERE time_ms <= ? LIMIT ?)",
            (now_ms - self._limits.key_lifetime_ms, _IDEMPOTENCY_PRUNE_ROWS + len(transaction.keys)),
        )

    def _key_time_ms(self) -> int:
        """The time that retry keys are dated by: it goes on from the newest key while the daemon runs.

        Not the clock: one that is set forward would make all keys too old at once.
        """
        return self._keys_begin_ms + self._uptime_ms()

    def _settle(self, tickets: list[Ticket], transaction: _Transaction) -> None:
        """The commit is on disk: take over its state, then tell the tail and every waiter."""
        if transaction.linked:
            transaction.series.apply()
            self._spans.apply(transaction.spans)
            self.head = transaction.head
            self.commits += 1
            self._unsaved.add(transaction.linked, transaction.key_rows)
            self._recovered()
        self._deliver(tickets, transaction.outcomes, transaction.linked)
        if transaction.linked and self._connection is not None:
            self._checkpointer.wrote(sum(len(event.canonical) + 128 for event in transaction.linked) + 16_384)
            if self._checkpointer.finish(self._connection):
                self._unsaved.clear()

    def _fail(self, tickets: list[Ticket], reason: str) -> None:
        """The commit failed, or says so: read back what is true, then answer every waiter."""
        try:
            self._open_files.check()
        except FilesChanged as error:
            self._lose(tickets, str(error))
            return
        except OSError as error:
            _log.error("cannot look after the files of the store", reason=_reason(error))
        if self.problem is None:
            _log.error("cannot append", reason=reason)
        self.problem = reason
        self.failed_commits += 1
        self._disconnect()
        try:
            self._reopen()
        except Exception as error:  # noqa: BLE001 - as in _commit: the waiters below must be told
            self.problem = f"{reason}; reading the file back failed too: {str(error) or type(error).__name__}"
        self._refuse(tickets, reason)

    def _refuse(self, tickets: list[Ticket], reason: str) -> None:
        self._deliver(tickets, [(ticket, StoreUnavailable(reason)) for ticket in tickets], [])

    def _lose(self, tickets: list[Ticket], what: str) -> None:
        """A file of the store is not the one that is open any more: acknowledge nothing from now on, save what was."""
        _log.critical("THE FILES OF THE LOG WERE CHANGED; nothing is acknowledged any more", what=what)
        self.failed_commits += 1
        self.problem = f"{what} while the daemon has it open; what was acknowledged is being saved"
        with self._lock:
            self.lost = what
            with contextlib.suppress(queue.Empty):
                while (ticket := self._queue.get_nowait()) is not None:
                    tickets.append(ticket)
                self._queue.put(None)  # the daemon is stopping
        self._refuse(tickets, self.problem)
        self._call_on_loop(self._on_lost)
        self._keep_beside()  # or a start would begin an empty log where all was deleted
        self._checkpointer.stop(_CLOSE_S)
        try:
            self.rescued, saved = rescue(
                self._database, self._open_files.database, self._witness, self._unsaved, self.head
            )
        except Exception as error:  # noqa: BLE001 - as in _commit
            _log.exception("rescue failed")
            saved = f"nothing could be saved: {type(error).__name__}"
        which = "the right file" if self.rescued is None else "that file"
        advice = (
            f"stop the daemon, move {self._database.name}, -wal and -shm away, put {which} in the place of the "
            "database, and start it"
        )
        if self.rescued is not None and self.rescued.parent != self._database.parent:
            advice = f"copy that file to where it lasts (a service's temporary files end with it), {advice}"
        self.problem = f"{what} while the daemon has it open; {saved}: {advice}"
        _log.critical("what was acknowledged is saved" if self.rescued else "THE LOG IS NOT WHOLE", what=self.problem)
        self._call_on_loop(self._on_lost)

    def _reopen(self) -> sqlite3.Connection:
        """Open the file and take its end of the chain as the truth; the tail gets what it has not seen of it.

        Raises sqlite3.Error or FilesChanged, and then nothing has changed.
        """
        if self._files is not None:
            self._files.check_names()  # what stands there now must not be touched, nor its log be taken for ours
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
            (head_rows,) = connection.execute("SELECT count(*) FROM head").fetchone()
            self._series.load(connection)
            self._spans.load(connection, head.event_id)
        except BaseException:
            connection.close()
            raise
        self.head = head
        self._head_rows = head_rows
        self._connection = connection
        if unseen:
            self._unsaved.add(unseen)
            self._record.write(head)
        self._deliver([], [], unseen)
        return connection

    def _open_same_file(self) -> sqlite3.Connection:
        """Another connection to the files that are open. In any thread; raises sqlite3.Error when they were changed."""
        try:
            self._open_files.check_names()
        except FilesChanged as error:
            raise sqlite3.OperationalError(str(error)) from None
        return self._open_connection()

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.rollback()
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
        self._connection = None

    def _look(self) -> None:
        """When nobody posts: see whether the files are still there, and whether a disk that failed works again."""
        try:
            self._open_files.check()
            self._keep_beside()
            if self.problem is not None:
                connection = self._connection or self._reopen()
                for statement in _WRITES_AND_CHANGES_NOTHING:
                    connection.execute(statement)
        except FilesChanged as error:
            self._lose([], str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the thread lives on and looks again
            if self.problem is None:
                _log.warning("cannot look after the files of the store", reason=_reason(error))
            else:
                self._disconnect()
        else:
            self._recovered()

    def _keep_beside(self) -> None:
        """Renew what lies beside the files and is ours alone: the record of what was acknowledged, and the lock."""
        self._kept_s = monotonic()
        self._record.keep(self.head)
        try:
            self._file_lock.keep()
        except StoreError as error:  # the database itself sees to it that no event is written over another
            if self._lock_problem != str(error):
                _log.error("the lock on the database is lost", reason=str(error))
            self._lock_problem = str(error)
        else:
            self._lock_problem = None

    def _recovered(self) -> None:
        if self.problem is not None:
            _log.warning("can append again", was=self.problem)
            self.problem = None

    def _deliver(self, tickets: list[Ticket], outcomes: list[_Outcome], linked: Sequence[ChainedEvent]) -> None:
        with self._lock:
            self.queued_events -= sum(len(ticket.events) for ticket in tickets)
            self.queued_bytes -= sum(ticket.size_bytes for ticket in tickets)
        self._call_on_loop(self._tell, outcomes, linked)

    def _call_on_loop(self, callback: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # a closed loop has nobody left who waits
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _tell(self, outcomes: list[_Outcome], linked: Sequence[ChainedEvent]) -> None:
        """On the loop's thread: resolve the waiters that are still there, then hand the events to the tail."""
        for ticket, outcome in outcomes:
            self._unanswered.discard(ticket)
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


def _insert_all(connection: sqlite3.Connection, statement: str, rows: Sequence[Sequence[object]]) -> None:
    """Insert rows, all of them: a trigger can drop some without an error (`RAISE(IGNORE)`)."""
    if rows and connection.executemany(statement, rows).rowcount != len(rows):
        raise sqlite3.IntegrityError("a row was not written: there is a trigger that is not ours")


def _reason(error: Exception) -> str:
    """What a failure is, for whoever has to mend it."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        return _WRITE_LOCKED if code == sqlite3.SQLITE_BUSY else f"the disk refused the events: {error}"
    if isinstance(error, OSError):
        return f"the files of the store cannot be looked at: {error.strerror}"
    return str(error) or type(error).__name__


def _newest_key_ms(connection: sqlite3.Connection, otherwise_ms: int) -> int:
    """The time that keys go on from. Not from one that nobody can have written, and to which none could be added."""
    (newest_ms,) = connection.execute("SELECT max(time_ms) FROM idempotency WHERE time_ms < 1 << 52").fetchone()
    return otherwise_ms if newest_ms is None else int(newest_ms)


def _hash_at(connection: sqlite3.Connection, event_id: int) -> str:
    row = connection.execute("SELECT hash FROM events WHERE event_id = ?", (event_id,)).fetchone()
    return str(row[0]) if row else ""


def _are_theirs(connection: sqlite3.Connection, first_id: int, last_id: int, events: Sequence[UnlinkedEvent]) -> bool:
    """Whether these ids were given to these events, timestamps apart: what the row of a key says need not be true.

    An id whose event somebody has removed since counts as theirs; who asks for that event is told.
    """
    if last_id - first_id + 1 != len(events):
        return False
    rows = connection.execute(
        "SELECT event_id, canonical FROM events WHERE event_id BETWEEN ? AND ?", (first_id, last_id)
    ).fetchall()
    return all(
        canonical.startswith(b'{"event_id":%d%b' % (event_id, events[event_id - first_id].middle))
        for event_id, canonical in rows
    )


def _read_linked(connection: sqlite3.Connection, after_id: int) -> list[ChainedEvent]:
    """Events that are in the file although their commit was reported as failed."""
    rows = connection.execute(
        "SELECT event_id, kind, source, time_ms, hash, canonical FROM events JOIN series USING (series_id)"
        " WHERE event_id > ? ORDER BY event_id",
        (after_id,),
    ).fetchall()
    return [
        ChainedEvent(event_id, UnlinkedEvent(kind, source, time_ms, b"", b""), canonical, hash_)
        for event_id, kind, source, time_ms, hash_, canonical in rows
    ]
