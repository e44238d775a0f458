"""Moving the write-ahead log into the database without holding up the writer.

SQLite's automatic checkpoint runs inside the COMMIT that crosses a threshold, and that one append waits for it. Here
a thread of its own copies the bulk (PASSIVE: it blocks nobody), and then the writer copies the few pages that came in
meanwhile, between two commits: only a checkpoint that has caught up lets SQLite start the log over
(https://www.sqlite.org/wal.html, "Avoiding Excessively Large WAL Files").

A checkpoint that fails loses nothing: the events are in the log, which just goes on growing until one succeeds.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing

import structlog

__all__ = ["Checkpointer", "checkpoint"]

_log = structlog.get_logger(__name__)

CHECKPOINT_BYTES = 32 << 20
"""Start a checkpoint after about so much was written. More saves copying of pages that are written again and again;
less keeps short what a start after a crash has to read back: 32 MiB take it 50 ms."""


def checkpoint(connection: sqlite3.Connection) -> bool:
    """Copy what can be copied without waiting for anyone; True when the log is empty of uncopied pages."""
    busy, log_pages, copied_pages = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return not busy and log_pages == copied_pages


class Checkpointer:
    """Runs checkpoints in a thread of its own. `wrote` and `finish` are called by the writer thread only."""

    def __init__(self, open_connection: Callable[[], sqlite3.Connection]) -> None:
        self._open_connection = open_connection
        self._uncopied_bytes = 0
        self._wanted = threading.Event()
        self._bulk_copied = threading.Event()
        self._stopping = False
        self._hindered = False  # the last one could not be completed
        self._thread = threading.Thread(target=self._run, name="checkpoint", daemon=True)
        self._thread.start()

    def wrote(self, size_bytes: int) -> None:
        """Take note of a commit's size, and start a checkpoint when enough has come together."""
        self._uncopied_bytes += size_bytes
        if self._uncopied_bytes >= CHECKPOINT_BYTES:
            self._uncopied_bytes = 0
            self._wanted.set()

    def finish(self, connection: sqlite3.Connection) -> bool:
        """Between two commits: copy the rest after the bulk, so that the log can start over. Usually does nothing.

        True when the database file now holds everything.
        """
        if not self._bulk_copied.is_set():
            return False
        self._bulk_copied.clear()
        try:
            if checkpoint(connection):
                self._hindered = False
                return True
        except sqlite3.Error as error:
            _log.warning("checkpoint failed; it will be tried again", reason=str(error))
        else:
            if not self._hindered:
                _log.warning("a program that has read the database for long keeps the write-ahead log growing")
            self._hindered = True
        self._uncopied_bytes = CHECKPOINT_BYTES // 2  # sooner than usual: what is not copied is kept in memory
        return False

    def stop(self, timeout_s: float) -> bool:
        """Wait for a running checkpoint and end the thread; False when it did not end in time."""
        self._stopping = True
        self._wanted.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            if self._stopping:
                return
            try:
                with closing(self._open_connection()) as connection:
                    checkpoint(connection)
            except sqlite3.Error as error:
                _log.warning("checkpoint failed; it will be tried again", reason=str(error))
            self._bulk_copied.set()
