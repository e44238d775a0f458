"""Writing a file so that it is there whole, or not at all: exports, evidence, hand-overs, the console's own files.

What a crash leaves: before `commit` what was there, and a `.NAME.RANDOM.part` beside it; after it the new file.
Everything here blocks, and raises OSError.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import tempfile
from pathlib import Path
from typing import BinaryIO, Self

__all__ = ["WholeFile", "remove_parts", "sync_directory", "write_whole"]


class WholeFile:
    """A file that is written bit by bit; leaving its `with` without `commit` leaves what was there before.

    Mode 0600 whatever the umask, since it may hold evidence. A link in its place is replaced, never followed. Without
    `replace` whatever has the name already, or by the time of `commit`, is a FileExistsError.
    """

    def __init__(self, path: Path, *, replace: bool) -> None:
        if not replace and os.path.lexists(path):
            raise _exists(path)
        self._path = path
        self._replace = replace
        descriptor, name = tempfile.mkstemp(prefix=_part_prefix(path), suffix=".part", dir=path.parent)
        self._part = Path(name)
        self._file: BinaryIO = os.fdopen(descriptor, "wb")

    def write(self, content: bytes) -> None:
        """Add to what will be there."""
        self._file.write(content)

    def commit(self) -> None:
        """Give it its name. Durable on return."""
        self._file.flush()
        os.fsync(self._file.fileno())
        if self._replace:
            self._part.rename(self._path)
        else:
            self._link()
        sync_directory(self._path.parent)

    def _link(self) -> None:
        """A rename would replace what has come there meanwhile; a link does not."""
        try:
            os.link(self._part, self._path)
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            if os.path.lexists(self._path):
                raise _exists(self._path) from None
            self._part.rename(self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # closing writes what is left, which a full disk refuses once more
            self._file.close()
        with contextlib.suppress(OSError):
            self._part.unlink()


def write_whole(path: Path, content: bytes, *, replace: bool) -> None:
    """Write a file at once, as `WholeFile` does."""
    with WholeFile(path, replace=replace) as file:
        file.write(content)
        file.commit()


def remove_parts(path: Path) -> None:
    """Remove what crashes have left of writing this file. For who knows that nobody else is writing it."""
    for part in path.parent.glob(f"{glob.escape(_part_prefix(path))}*.part"):
        part.unlink(missing_ok=True)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _part_prefix(path: Path) -> str:
    return f".{path.name[:50]}."  # 50 characters of 4 bytes leave room for the rest of a name of 255 bytes


def _exists(path: Path) -> FileExistsError:
    return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
