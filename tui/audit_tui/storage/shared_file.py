"""Small files that several consoles share: read whole, replaced whole, changed by one process at a time.

Everything here blocks, so a console calls it in a thread.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from audit_stream.errors import AuditStreamError
from audit_stream.whole_file import remove_parts, write_whole

__all__ = ["TooLarge", "locked", "private_directory", "read_small", "replace", "set_aside"]


class TooLarge(AuditStreamError):
    """The file is longer than any that this program writes, or is no file at all."""


def private_directory(path: Path) -> None:
    """Make a directory and those above it, 0700, where they are missing. Raises OSError."""
    if not path.is_dir():
        private_directory(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)


def read_small(path: Path, *, max_bytes: int) -> bytes | None:
    """A whole file, None when there is none. Raises TooLarge without reading more than the limit, and OSError."""
    try:
        # A pipe in the file's place would otherwise keep the opening waiting for a writer.
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with open(file, "rb") as opened:  # noqa: PTH123 - a descriptor has no path
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise TooLarge(f"{path} is no file")
        content = opened.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise TooLarge(f"{path} is longer than {max_bytes:,} bytes")
    return content


def replace(path: Path, content: bytes) -> None:
    """Put a file of mode 0600 in place, so that readers see the old or the new one whole. Durable on return.

    Hold `locked`: what a crash has left of an earlier writer is removed. Raises OSError.
    """
    remove_parts(path)
    write_whole(path, content, replace=True)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the file for this process and thread alone, against all others that use `locked`; waits for it.

    The lock is on a file of its own beside it, which stays: the file itself is replaced, and a lock would stay with the
    old one. It ends with the process, however that ends. Raises OSError.
    """
    lock = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        fcntl.flock(lock, fcntl.LOCK_UN)  # closing would not do it while a forked process has the descriptor too
        os.close(lock)


def set_aside(path: Path, now_ms: int) -> Path:
    """Rename a damaged file to `NAME.corrupt-TIME`, and say what to; never over another one. Raises OSError."""
    aside = path.with_name(f"{path.name}.corrupt-{now_ms}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.corrupt-{now_ms}-{number}")
    path.rename(aside)
    return aside
