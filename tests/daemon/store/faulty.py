"""A disk that fails or stands still on demand: a writing connection that raises or waits at a chosen statement."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, cast

from audit_daemon.store import schema

When = Literal["failed", "failed but persisted"]

DEADLINE_S = 20.0

OPEN = "open"
"""The pattern of opening the file, which is no statement."""


class Faults:
    """Which statements fail. A fault stands until it has struck `times`, or until `clear`."""

    def __init__(self) -> None:
        self._standing: list[_Fault] = []
        self._lock = threading.Lock()
        self.struck: list[str] = []
        self.held = threading.Event()
        """Set while the writer waits in a statement that `hold` chose."""
        self._hold: re.Pattern[str] | None = None
        self._released = threading.Event()

    def hold(self) -> None:
        """Let commits wait until `release`: a disk that is busy."""
        self._released.clear()
        self._hold = re.compile(r"COMMIT|INSERT INTO events")

    def release(self) -> None:
        self._hold = None
        self._released.set()

    def arm(self, pattern: str, when: When, error: sqlite3.Error, *, times: int = 1_000_000) -> None:
        self._standing.append(_Fault(re.compile(pattern, re.IGNORECASE), when, error, times))

    def clear(self) -> None:
        self._standing.clear()

    def open_writer(self, path: Path) -> sqlite3.Connection:
        """For `SqliteStore(open_writer=…)`."""
        connection = self.around(OPEN, lambda: schema.open_writer(path), undo=sqlite3.Connection.close)
        return cast("sqlite3.Connection", _Connection(connection, self))

    def around(self, statement: str, run: Callable[[], Any], undo: Callable[[Any], object] = lambda _: None) -> Any:
        """Run a statement, or fail it. `undo` gives back what a persisted failure would leak."""
        if self._hold is not None and self._hold.match(statement):
            self.held.set()
            assert self._released.wait(DEADLINE_S), "the test forgot the writer"
            self.held.clear()
        fault = self._strike(statement)
        if fault is None:
            return run()
        if fault.when == "failed but persisted":
            undo(run())
        raise fault.error

    def _strike(self, statement: str) -> _Fault | None:
        with self._lock:
            for fault in self._standing:
                if fault.left > 0 and fault.pattern.match(statement):
                    fault.left -= 1
                    self.struck.append(statement)
                    return fault
        return None


class _Fault:
    def __init__(self, pattern: re.Pattern[str], when: When, error: sqlite3.Error, times: int) -> None:
        self.pattern = pattern
        self.when = when
        self.error = error
        self.left = times


class _Connection:
    """Stands in for a sqlite3.Connection."""

    def __init__(self, connection: sqlite3.Connection, faults: Faults) -> None:
        self._connection = connection
        self._faults = faults

    @property
    def total_changes(self) -> int:
        return self._connection.total_changes

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        cursor: sqlite3.Cursor = self._faults.around(sql, lambda: self._connection.execute(sql, *parameters))
        return cursor

    def executemany(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        cursor: sqlite3.Cursor = self._faults.around(sql, lambda: self._connection.executemany(sql, *parameters))
        return cursor

    def commit(self) -> None:
        self._faults.around("COMMIT", self._connection.commit)

    def rollback(self) -> None:
        self._connection.rollback()

    def close(self) -> None:
        self._connection.close()
