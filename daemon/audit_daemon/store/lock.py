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

from audit_daemon.store.own_file import open_own
from audit_daemon.store.protocol import StoreLocked
from audit_stream.logfile.errors import StoreUnusable

__all__ = ["FileLock"]


class FileLock:
    """Holds `<database>.lock` from construction to `release`. Raises StoreLocked when another process holds it."""

    def __init__(self, database: Path) -> None:
        database = database.resolve()  # by whatever name the file is called, it has one lock
        if not database.parent.is_dir():
            raise StoreUnusable(f"cannot create {database}: there is no directory {database.parent}")
        if database.is_file() and database.stat().st_nlink > 1:
            raise StoreUnusable(f"{database} has another name (a hard link), under which the lock would not be seen")
        self.path = database.with_name(database.name + ".lock")
        self._database = database
        self._fd = self._taken()

    def keep(self) -> None:
        """Take the lock anew when its file was deleted or replaced, or the next daemon would not see it.

        Raises StoreLocked when there is such a daemon already, StoreUnusable as at the start.
        """
        with contextlib.suppress(OSError):
            if os.path.samestat(self.path.lstat(), os.fstat(self._fd)):
                return
        taken = self._taken()
        os.close(self._fd)
        self._fd = taken

    def _taken(self) -> int:
        try:
            descriptor = open_own(self.path)
        except OSError as error:
            raise StoreUnusable(f"cannot create {self.path}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise StoreLocked(
                f"another audit-stream daemon (process {holder}) writes to {self._database}: "
                "stop it, or give this one a file of its own with --db"
            ) from None
        except OSError as error:
            os.close(descriptor)
            raise StoreUnusable(
                f"the file system of {self.path} refuses locks ({error.strerror}): "
                "put the database on a local file system with --db"
            ) from error
        with contextlib.suppress(OSError):  # the number is for people; a full disk must not keep a daemon from starting
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        return descriptor

    def release(self) -> None:
        """Let another daemon have the file. The lock file stays: removing it would race with a new holder."""
        os.close(self._fd)
