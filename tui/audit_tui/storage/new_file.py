"""A file beside those that are there: evidence never replaces other evidence."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from audit_stream.whole_file import write_whole

__all__ = ["write_new"]


def write_new(name: str, suffix: str, body: bytes) -> Path:
    """Write to `name` in the present directory, with a number if that is there; returns where.

    Blocks; raises OSError.
    """
    for number in count():
        path = Path.cwd() / f"{name}{f'-{number}' if number else ''}{suffix}"
        try:
            write_whole(path, body, replace=False)
        except FileExistsError:
            continue
        return path
    raise AssertionError  # count() does not end
