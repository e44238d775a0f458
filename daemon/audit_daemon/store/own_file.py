"""Files of ours beside the database, in a folder where others may put what they like.

A link there would have the daemon write into a file that is none of ours, and a pipe would have it wait for ever.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from audit_stream.logfile.errors import StoreUnusable

__all__ = ["check_own", "open_own"]


def check_own(path: Path) -> None:
    """Raise StoreUnusable when there is something at `path` that is no regular file, or has another name."""
    with contextlib.suppress(OSError):  # whoever opens it tells why that cannot be done
        _check(path, path.lstat())


def open_own(path: Path) -> int:
    """A descriptor for reading and writing of a file that is made when it is missing; does not wait for anybody.

    Raises OSError, and StoreUnusable as `check_own` does.
    """
    check_own(path)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    try:
        _check(path, os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check(path: Path, status: os.stat_result) -> None:
    if stat.S_ISLNK(status.st_mode):
        found = "a link to another file"
    elif not stat.S_ISREG(status.st_mode):
        found = "no regular file"
    elif status.st_nlink > 1:
        found = "also the file of another name (a hard link)"
    else:
        return
    raise StoreUnusable(f"{path} is {found}, which the daemon must not write into: find out who made it, and remove it")
