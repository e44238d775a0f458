"""A file that a person asked for, written bit by bit: it is there whole, or not at all.

What a crash leaves: before `put` what was there, and a `.part` beside it; after it the new file.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from audit_tui.storage.atomic import sync_directory

__all__ = ["WholeFile"]


class WholeFile:
    """Mode 0600, since what it will hold is evidence. Everything blocks and raises OSError.

    Without `overwrite` a file that is there already, or by the time of `put`, is a FileExistsError. End it with
    `discard`, also after `put`.
    """

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        if not overwrite and path.exists():
            raise FileExistsError
        self._path = path
        self._overwrite = overwrite
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".part", dir=path.parent)
        self._temporary = Path(name)
        self._file = os.fdopen(descriptor, "wb")

    def write(self, content: bytes) -> None:
        """Add to what will be there."""
        self._file.write(content)

    def put(self) -> None:
        """Have it in its place, all at once. Durable on return."""
        self._file.flush()
        os.fsync(self._file.fileno())
        if self._overwrite:
            self._temporary.replace(self._path)
        else:
            self._put_new()
        sync_directory(self._path.parent)

    def _put_new(self) -> None:
        """By a link, which fails when there is a file by now."""
        try:
            os.link(self._temporary, self._path)
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            if self._path.exists():
                raise FileExistsError from None
            self._temporary.rename(self._path)

    def discard(self) -> None:
        """Close it, and remove what is not in its place. Raises nothing."""
        with contextlib.suppress(OSError):  # closing writes what is left, which a full disk refuses once more
            self._file.close()
        with contextlib.suppress(OSError):
            self._temporary.unlink()
