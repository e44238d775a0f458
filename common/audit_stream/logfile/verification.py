"""A verdict on a whole file: ranges of the log in parallel, then the joints and the ends.

Opens the file read-only, beside a daemon or without one. What this can show and what not is in `docs/chain.md`.
"""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection, wait
from pathlib import Path

import msgspec

from audit_stream.chain import GENESIS, GENESIS_HASH, Head, Verdict
from audit_stream.logfile.errors import StoreUnusable
from audit_stream.logfile.forked import die_with_parent
from audit_stream.logfile.opening import open_log, open_reader
from audit_stream.logfile.segment import Break, SegmentState, check_segment, state_before
from audit_stream.logfile.spans import SPAN_EVENTS
from audit_stream.logfile.tables import difference
from audit_stream.timestamps import format_rfc3339_ms

__all__ = ["verify_file"]

_PARALLEL_FROM_EVENTS = 50_000
"""Below this a second process costs more than it saves."""

_MAX_WORKERS = 4
_CACHE_KIB = 16_384
_CHANGED = "the database's tables were changed: {}"


def verify_file(
    path: Path,
    *,
    acknowledged: Head | None = None,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] = lambda checked, total: None,
) -> Verdict:
    """Check every event of the file.

    `acknowledged` is a head that is known from elsewhere, such as the daemon's memory: the log must still hold it.
    `on_progress` gets the events checked so far and their total. Raises StoreUnusable or sqlite3.OperationalError
    when the file cannot be checked, which says nothing about the chain.
    """
    started_ms = time.time_ns() // 1_000_000
    started = time.perf_counter()
    with closing(_open(path)) as connection:
        try:
            broken, head = _look(path, connection, acknowledged, workers, on_progress)
        except sqlite3.OperationalError:
            changed = difference(connection)
            if changed is None:
                raise
            broken, head = Break(event_id=1, reason=_CHANGED.format(changed)), GENESIS
        checked = head.event_id
    return Verdict(
        valid=broken is None,
        checked=checked,
        first_break_at=None if broken is None else broken.event_id,
        reason=None if broken is None else broken.reason,
        head=head,
        duration_ms=round((time.perf_counter() - started) * 1000),
        started_at=format_rfc3339_ms(started_ms),
        verified_at=format_rfc3339_ms(time.time_ns() // 1_000_000),
    )


def _look(
    path: Path,
    connection: sqlite3.Connection,
    acknowledged: Head | None,
    workers: int | None,
    on_progress: Callable[[int, int], None],
) -> tuple[Break | None, Head]:
    """The first break, and the last event that holds."""
    total, head_break = _ends(connection, acknowledged)
    count = _worker_count(total, workers)
    if count == 1:
        checked = _check_here(connection, total, on_progress)
    else:
        checked = _check_in_parallel(path, connection, total, count, on_progress)
    up_to, state = checked.up_to, checked.state
    broken = (
        checked.broken
        or head_break
        or _acknowledged_break(connection, acknowledged)
        or _tables_break(connection, total)
        or _index_break(connection, total)
    )
    if broken is not None:
        up_to = min(up_to, broken.event_id - 1)
    return broken, Head(up_to, state.hash if up_to == state.event_id else _hash_at(connection, up_to))


def _open(path: Path) -> sqlite3.Connection:
    try:
        return _strict(open_log(path, cache_kib=_CACHE_KIB))
    except sqlite3.DatabaseError as error:
        raise StoreUnusable(f"cannot read {path}: {error}") from error


def _strict(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.text_factory = bytearray  # a forged text need not be UTF-8, and a blob is no text
    return connection


def _ends(connection: sqlite3.Connection, acknowledged: Head | None) -> tuple[int, Break | None]:
    """How far to check, and what is wrong with the end of the log, read in one statement."""
    row = connection.execute(
        "SELECT h.event_id, h.hash, (SELECT min(event_id) FROM events), (SELECT max(event_id) FROM events),"
        " (SELECT count(*) FROM spans),"
        " (SELECT hash FROM events e WHERE e.event_id = h.event_id) FROM head h ORDER BY h.event_id DESC"
    ).fetchone()
    if row is None or not isinstance(row[0], int):
        return 0, Break(event_id=1, reason="the record of the log's head is gone")
    head_id, head_hash, first_id, last_id, span_count, last_hash = row
    last_id = max(last_id or 0, 0)
    known_id = max(head_id, acknowledged.event_id if acknowledged else 0)
    if first_id is not None and (first_id < 1 or last_id > head_id):
        beyond = max(head_id, 0) + 1  # check up to it: it may break the chain as well
        return beyond, Break(event_id=beyond, reason=f"event #{beyond} is beyond the log's head, #{head_id}")
    if last_id < known_id:
        reason = f"event_id should be {last_id + 1}, got none: the log's head is #{known_id}"
        return last_id, Break(event_id=last_id + 1, reason=reason)
    if head_hash != (last_hash if head_id else GENESIS_HASH.encode("ascii")):
        return head_id, Break(event_id=max(head_id, 1), reason=f"head hash mismatch at event #{head_id}")
    if span_count != head_id // SPAN_EVENTS:
        return head_id, Break(event_id=max(head_id, 1), reason=f"time span mismatch at event #{head_id}")
    return head_id, None


def _acknowledged_break(connection: sqlite3.Connection, acknowledged: Head | None) -> Break | None:
    """The break when the log holds together but is not the one that was acknowledged."""
    if acknowledged is None or acknowledged.event_id == 0:
        return None
    row = connection.execute("SELECT hash FROM events WHERE event_id = ?", (acknowledged.event_id,)).fetchone()
    if row is not None and row[0] == acknowledged.hash.encode("ascii"):
        return None
    reason = f"hash mismatch at event #{acknowledged.event_id}: the log was rewritten at or before it"
    return Break(event_id=acknowledged.event_id, reason=reason)


def _tables_break(connection: sqlite3.Connection, total: int) -> Break | None:
    """The break when the events hold, but what is around them is not what a daemon makes."""
    changed = difference(connection)
    return None if changed is None else Break(event_id=max(total, 1), reason=_CHANGED.format(changed))


def _worker_count(total: int, workers: int | None) -> int:
    if total == 0 or "fork" not in multiprocessing.get_all_start_methods():
        return 1
    if workers is None:
        few = total < _PARALLEL_FROM_EVENTS or not hasattr(os, "sched_getaffinity")
        workers = 1 if few else len(os.sched_getaffinity(0))
    return max(1, min(workers, _MAX_WORKERS))


class _Checked(msgspec.Struct, kw_only=True):
    """How far the events were checked, and the state there."""

    up_to: int
    state: SegmentState
    broken: Break | None = None


def _index_break(connection: sqlite3.Connection, total: int) -> Break | None:
    """The break when the events hold but something beside them would make queries mislead.

    That the index of series lists every event was seen with the events. So it lists nothing else when it has as many
    entries as there are events. A series without any event would show in counts, and one that is there twice would
    hide the events of one from queries.
    """
    at_end = max(total, 1)
    for query, reason in _BESIDE_THE_EVENTS:
        if connection.execute(query, {"total": total}).fetchone() is not None:
            return Break(event_id=at_end, reason=reason.format(at_end))
    return None


_SERIES_INDEX = "sqlite_autoindex_series_1"

_BESIDE_THE_EVENTS = (
    (
        "SELECT 1 WHERE (SELECT count(*) FROM events INDEXED BY events_series WHERE event_id <= :total) <> :total",
        "kind and source index mismatch at event #{}",
    ),
    (
        "SELECT 1 FROM (SELECT series_id FROM series NOT INDEXED ORDER BY series_id DESC LIMIT -1) s WHERE NOT EXISTS"
        " (SELECT 1 FROM series i NOT INDEXED WHERE i.series_id = s.series_id)",  # as for events: `segment.py`
        "a kind and source is not found by its id",
    ),
    (
        "SELECT 1 FROM series s NOT INDEXED WHERE NOT EXISTS"
        " (SELECT 1 FROM events e INDEXED BY events_series WHERE e.series_id = s.series_id)",
        "there is a kind and source without any event",
    ),
    (
        "SELECT 1 FROM series NOT INDEXED GROUP BY kind, source HAVING count(*) > 1",
        "a kind and source is listed twice",
    ),
    (
        f"SELECT 1 FROM series s NOT INDEXED WHERE NOT EXISTS (SELECT 1 FROM series i INDEXED BY {_SERIES_INDEX}"  # noqa: S608 - a constant
        " WHERE (i.kind, i.source, i.series_id) = (s.kind, s.source, s.series_id))",
        "the index of the series misses one",
    ),
)


def _check_here(connection: sqlite3.Connection, total: int, on_progress: Callable[[int, int], None]) -> _Checked:
    state = state_before(connection, 1)
    broken = None
    for step in check_segment(connection, state, total):
        if isinstance(step, Break):
            broken = step
        on_progress(state.event_id, total)
    return _Checked(up_to=state.event_id, state=state, broken=broken)


class _Range(msgspec.Struct, kw_only=True):
    """One range of the log, as a worker has checked it."""

    first_id: int
    last_id: int
    before: SegmentState
    after: SegmentState
    broken: Break | None = None


def _check_in_parallel(
    path: Path, connection: sqlite3.Connection, total: int, count: int, on_progress: Callable[[int, int], None]
) -> _Checked:
    """Check `count` ranges at once. Each trusts the state before it, which the one before then has to confirm."""
    size = -(-total // count // SPAN_EVENTS) * SPAN_EVENTS
    firsts = range(1, total + 1, size)
    try:
        done = _check_ranges(path, [(first, min(first + size - 1, total)) for first in firsts], total, on_progress)
    except (sqlite3.OperationalError, OSError):  # a worker could not start, died, or could not read where to begin
        return _check_here(connection, total, on_progress)
    confirmed = state_before(connection, 1)
    for first in firsts:
        found = done[first]
        if found.before != confirmed:  # what it trusted is not what was found: the state itself was tampered with
            return _check_here(connection, total, on_progress)
        confirmed = found.after
        if found.broken is not None:
            return _Checked(up_to=confirmed.event_id, state=confirmed, broken=found.broken)
    return _Checked(up_to=total, state=confirmed)


def _check_ranges(
    path: Path, ranges: list[tuple[int, int]], total: int, on_progress: Callable[[int, int], None]
) -> dict[int, _Range]:
    """Each range's outcome by its first id. Raises sqlite3.OperationalError when one has none."""
    checked = 0
    done: dict[int, _Range] = {}
    with _workers(path, ranges) as pipes:
        open_pipes = list(pipes)
        while open_pipes:
            for pipe in wait(open_pipes):
                message = _receive(pipe)  # type: ignore[arg-type]  # wait() returns what it was given
                if isinstance(message, int):
                    checked += message
                    on_progress(checked, total)
                    continue
                open_pipes.remove(pipe)  # type: ignore[arg-type]
                done[message.first_id] = message
    return done


@contextmanager
def _workers(path: Path, ranges: list[tuple[int, int]]) -> Iterator[list[Connection]]:
    """Forked processes, one a range, and a pipe from each; they are gone on exit, however it is left."""
    context = multiprocessing.get_context("fork")
    processes: list[multiprocessing.process.BaseProcess] = []
    pipes: list[Connection] = []
    try:
        for first_id, last_id in ranges:
            receiver, sender = context.Pipe(duplex=False)
            pipes.append(receiver)
            with sender:  # the worker has its own
                worker = context.Process(target=_work, args=(path, first_id, last_id, sender, os.getpid()), daemon=True)
                worker.start()
            processes.append(worker)
        yield pipes
    finally:
        for process in processes:
            process.terminate()
            process.join()
        for pipe in pipes:
            pipe.close()


def _work(path: Path, first_id: int, last_id: int, pipe: Connection, parent: int) -> None:
    """In the worker: check a range; sends the events checked as it goes, then the range, or the error."""
    die_with_parent(parent)
    try:
        for message in _check(path, first_id, last_id):
            pipe.send_bytes(msgspec.json.encode(message))
    except sqlite3.Error as error:
        pipe.send_bytes(msgspec.json.encode(str(error)))
    except BrokenPipeError:
        return  # whoever asked was stopped
    pipe.close()


def _check(path: Path, first_id: int, last_id: int) -> Iterator[int | _Range]:
    with closing(_strict(open_reader(path, cache_kib=_CACHE_KIB))) as connection:
        before = state_before(connection, first_id)
        state = msgspec.structs.replace(before, series_seqs=dict(before.series_seqs))
        broken = None
        for step in check_segment(connection, state, last_id):
            if isinstance(step, Break):
                broken = step
            else:
                yield step
        yield _Range(first_id=first_id, last_id=last_id, before=before, after=state, broken=broken)


def _receive(pipe: Connection) -> int | _Range:
    try:
        message = msgspec.json.decode(pipe.recv_bytes(), type=int | str | _Range)
    except (EOFError, msgspec.DecodeError):
        raise sqlite3.OperationalError("a verifying process ended without a result") from None
    if isinstance(message, str):
        raise sqlite3.OperationalError(message)
    return message


def _hash_at(connection: sqlite3.Connection, event_id: int) -> str:
    """The hash of an event that holds."""
    row = connection.execute("SELECT hash FROM events WHERE event_id = ?", (event_id,)).fetchone()
    return GENESIS_HASH if row is None else row[0].decode("ascii")
