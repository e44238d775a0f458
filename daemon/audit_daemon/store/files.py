"""The three files of an open store, and whether they still are the ones that are open.

SQLite does not notice when its database, its write-ahead log (`-wal`) or the log's index (`-shm`) is deleted, replaced
or cut: it goes on with what it has open, and a COMMIT into a file without a name succeeds. What must be there is told
by the index, which SQLite keeps in memory that processes share (https://www.sqlite.org/walformat.html): how many
frames the log has, their salt, and how many pages the database.

A hole shows too: when the log is cut and the next commit then writes behind its end, its size is right again, but the
frame before that commit has lost its salt.
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path

from audit_stream.errors import AuditStreamError
from audit_stream.logfile.opening import write_ahead_log_of

__all__ = ["Files", "FilesChanged"]

_INDEX = struct.Struct("=14xHII8x8s")
"""Of the index's header: page size, frames in the log, pages in the database, salt."""
_INDEX_BYTES = 48
_LOG_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24
_SALT_IN_LOG_HEADER, _SALT_IN_FRAME_HEADER, _SALT_BYTES = 16, 8, 8
_LOOKS = 10


class FilesChanged(AuditStreamError):
    """A file of the store was deleted, replaced or cut; the text says which."""


class Files:
    """Descriptors and identities of the three files. Of one thread, but for `check_names`.

    Belongs to a store whose connections are open. The descriptors stay open until `close`, which must come after that
    of every connection: closing one would drop SQLite's locks on the file (sqlite.org/howtocorrupt.html, 2.2).
    """

    def __init__(self, database: Path) -> None:
        self._names = [str(database), str(write_ahead_log_of(database)), f"{database}-shm"]
        self._descriptors: list[int] = []
        self._identities: list[tuple[int, int]] = []
        try:
            for name in self._names:
                descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
                self._descriptors.append(descriptor)
                self._identities.append(_identity(os.fstat(descriptor)))
            self.database, self._log, index = self._descriptors
            self._index = mmap.mmap(index, _INDEX_BYTES * 2, mmap.MAP_SHARED, mmap.PROT_READ)
        except BaseException:
            self.close()
            raise
        self._database_bytes = os.fstat(self.database).st_size
        self._page_bytes, self._frames, _, self._salt = _read(self._index)

    def close(self) -> None:
        """Give the descriptors back; after the last connection to the files was closed."""
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()

    def check_names(self) -> None:
        """Raise FilesChanged when a name does not lead to the file that is open. In any thread."""
        for name, identity in zip(self._names, self._identities, strict=True):
            _stat(name, identity)

    def check_log(self) -> None:
        """The quick look before something is written, for the case that the log was cut since `check`."""
        status = _stat(self._names[1], self._identities[1])
        if status.st_size < self._log_end(self._frames):
            self.check()

    def check(self) -> None:
        """Raise FilesChanged when a file is not the one that is open, or shorter than it must be.

        To be called between transactions. After a COMMIT it says whether that went into these files. Raises OSError
        when it cannot be told.
        """
        for _ in range(_LOOKS):  # another process may have restarted the log between the looks at index and log
            index = self._index[:_INDEX_BYTES]
            names = zip(self._names, self._identities, strict=True)
            database, log, _ = (_stat(name, identity) for name, identity in names)
            self._page_bytes, frames, pages, salt = _read(index)
            problem = self._shortened(database.st_size, log.st_size, frames, pages, salt)
            if index == self._index[:_INDEX_BYTES]:
                if problem is not None:
                    raise FilesChanged(problem)
                self._database_bytes, self._frames, self._salt = database.st_size, frames, salt
                return

    def _shortened(self, database_bytes: int, log_bytes: int, frames: int, pages: int, salt: bytes) -> str | None:
        # VACUUM makes a database smaller, and then it has fewer pages as well. The index of an empty log names none.
        if database_bytes < self._database_bytes and (not pages or self._database_bytes <= pages * self._page_bytes):
            return f"{self._names[0]} was cut from {self._database_bytes} to {database_bytes} bytes"
        if not frames:
            return None
        same = salt == self._salt and 0 < self._frames <= frames
        at = self._frame(self._frames) + _SALT_IN_FRAME_HEADER if same else _SALT_IN_LOG_HEADER
        if log_bytes < self._log_end(frames) or os.pread(self._log, _SALT_BYTES, at) != salt:
            return f"{self._names[1]} was cut or overwritten"
        return None

    def _log_end(self, frames: int) -> int:
        return self._frame(frames + 1) if frames else 0

    def _frame(self, number: int) -> int:
        """Where a frame of the log begins; the first is 1."""
        return _LOG_HEADER_BYTES + (number - 1) * (_FRAME_HEADER_BYTES + self._page_bytes)


def _read(index: bytes | mmap.mmap) -> tuple[int, int, int, bytes]:
    """Page size, frames in the log, pages in the database, and the log's salt."""
    size, frames, pages, salt = _INDEX.unpack_from(index)
    return (size & 0xFE00) + ((size & 1) << 16), frames, pages, salt


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _stat(name: str, identity: tuple[int, int]) -> os.stat_result:
    try:
        status = os.stat(name)  # noqa: PTH116 - for every commit, where a Path costs as much again
    except FileNotFoundError:
        raise FilesChanged(f"{name} was deleted or moved away") from None
    if (status.st_dev, status.st_ino) != identity:
        raise FilesChanged(f"{name} was replaced by another file")
    return status
