"""How large a log's file is."""

from __future__ import annotations

import contextlib
from pathlib import Path

__all__ = ["size_bytes"]


def size_bytes(path: Path) -> int:
    """The bytes of the database and its write-ahead log; what is not there counts nothing."""
    total = 0
    for file in (path, path.with_name(f"{path.name}-wal")):
        with contextlib.suppress(OSError):
            total += file.stat().st_size
    return total
