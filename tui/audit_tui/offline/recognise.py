"""What a file is, by how it begins."""

from __future__ import annotations

import shlex
from pathlib import Path

from audit_stream.wire import DEFAULT_URL

__all__ = ["BUNDLE", "DATABASE", "EXPORT", "kind_of", "said_of_file"]

DATABASE, EXPORT, BUNDLE = "database", "export", "bundle"

_DATABASE_START = b"SQLite format 3\0"
"""https://www.sqlite.org/fileformat.html, 1.3.1."""
_BUNDLE_START = b'"audit-stream-bundle/'
_LOOKED_AT = 4096
_DATABASE_SUFFIXES = (".db", ".sqlite", ".sqlite3")
_FILE_SUFFIXES = frozenset(
    {*_DATABASE_SUFFIXES, ".json", ".jsonl", ".ndjson", ".csv", ".txt", ".log"}
    | {".gz", ".bz2", ".xz", ".zst", ".tar", ".tgz", ".7z", ".bak", ".old", ".orig", ".tmp", ".part"}
)
"""What files are called; no top-level domain has any of these names, as `.zip` has."""


def kind_of(path: Path) -> str:
    """DATABASE, EXPORT or BUNDLE; "" for anything else, also for what is not there or cannot be read."""
    try:
        if not path.is_file():  # a pipe would be waited for
            return ""
        with path.open("rb") as file:
            start = file.read(_LOOKED_AT)
    except (OSError, ValueError):  # ValueError: a name with a NUL
        return ""
    if start.startswith(_DATABASE_START):
        return DATABASE
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text.startswith((b"{", b"[")):
        return ""
    return BUNDLE if _BUNDLE_START in text else EXPORT


def said_of_file(named: str) -> str | None:
    """What to say of a file's name that stands where an address belongs; None for what is an address or a profile.

    A name is that of a file when there is one, or when it looks like nothing else: hosts end neither in `.db` nor
    begin with a slash, and a console that waits for such a host waits for ever.
    """
    if "://" in named:
        return None
    path = Path(named)
    looks_so = named.startswith(("/", "./", "../", "~")) or path.suffix.lower() in _FILE_SUFFIXES
    try:
        exists = path.is_file() or (looks_so and path.exists())
    except (OSError, ValueError):
        exists = False
    if exists:
        kind, given = kind_of(path), shlex.quote(named)
        if kind == BUNDLE:
            return f"{named} is an evidence bundle and no address: `audit-tui check {given}` checks it"
        option = "--db" if kind == DATABASE or (not kind and path.suffix.lower() in _DATABASE_SUFFIXES) else "--file"
        return f"{named} is a file and no address: open it with `audit-tui {option} {given}`"
    if looks_so:
        return (
            f"{named} is no address, and there is no such file: --db opens a database file, --file an export, "
            f"and an address is such as {DEFAULT_URL} or HOST:8093"
        )
    return None
