"""One daemon a file: an advisory lock beside the database.

The lock is on a file of its own, because closing any descriptor of the database itself would drop SQLite's POSIX
locks on it (https://www.sqlite.org/howtocorrupt.html, section 2.2). The kernel drops the lock with the process,
however that ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from audit_daemon.store.protocol import StoreLocked
from audit_daemon.store.schema import prepare_directory
from audit_stream.logfile.errors import StoreUnusable

__all__ = ["FileLock"]


class FileLock:
    """Holds `<database>.lock` from construction to `release`. Raises StoreLocked when another process holds it."""

    def __init__(self, database: Path) -> None:
        database = database.resolve()  # by whatever name the file is called, it has one lock
        prepare_directory(database)
        if database.is_file() and database.stat().st_nlink > 1:
            raise StoreUnusable(f"{database} has another name (a hard link), under which the lock would not be seen")
        self.path = database.with_name(database.name + ".lock")
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnusable(f"cannot create {self.path}: {error.strerror}") from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(self._fd, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(self._fd)
            raise StoreLocked(
                f"another audit-stream daemon (process {holder}) writes to {database}: "
                "stop it, or give this one a file of its own with --db"
            ) from None
        with contextlib.suppress(OSError):  # the number is for people; a full disk must not keep a daemon from starting
            os.truncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode("ascii"), 0)

    def release(self) -> None:
        """Let another daemon have the file. The lock file stays: removing it would race with a new holder."""
        os.close(self._fd)
