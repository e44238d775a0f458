"""Events of a log to a file, as JSON lines or CSV: whole, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import os
import tempfile
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import IO, Literal

import msgspec

from audit_stream.client import Selection
from audit_stream.display import safe
from audit_stream.errors import AuditStreamError, ClientError
from audit_tui.log import Log

__all__ = ["COLUMNS", "ExportError", "ExportFormat", "FileExists", "export", "format_of"]

ExportFormat = Literal["jsonl", "csv"]

COLUMNS = ("event_id", "timestamp", "kind", "source", "payload", "prev_hash", "hash")
"""Of a CSV file; `payload` is JSON."""

_BATCH_EVENTS = 500
"""Between two steps of the progress: formatting so many takes a few milliseconds."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet compute a cell (OWASP, CSV injection)."""


class ExportError(AuditStreamError):
    """The file cannot be written; the sentence says why and is safe to show."""


class FileExists(ExportError):
    """There is a file of this name, and it was not said that it may be replaced."""


class _Cells(msgspec.Struct):
    event_id: int
    timestamp: str
    kind: str
    source: str
    payload: msgspec.Raw
    prev_hash: str
    hash: str


class _Numbered(msgspec.Struct):
    event_id: int


_cells = msgspec.json.Decoder(_Cells)
_numbered = msgspec.json.Decoder(_Numbered)
_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def format_of(path: Path) -> ExportFormat | None:
    """What the name's suffix asks for; None when it asks for neither."""
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".ndjson"):
        return "jsonl"
    return "csv" if suffix == ".csv" else None


async def export(
    log: Log,
    selection: Selection,
    path: Path,
    format_: ExportFormat,
    on_progress: Callable[[int, int, int], None],
    *,
    overwrite: bool = False,
) -> int:
    """Write what is selected of the log as it now is; how many events that was.

    Under `path` there is nothing, or what was there, until everything is on disk; then all at once. JSON lines are
    the very bytes that were served. `on_progress` is called with the id reached, the last id, and the events written.
    Raises ClientError, ExportError and FileExists; then, and when cancelled, it leaves nothing behind.
    """
    last = (await log.stats()).head.event_id
    temporary = _create(path, overwrite=overwrite)  # no thread: a cancelled one would leave the file behind
    try:
        count = await _write_all(log, selection, temporary, format_, last, on_progress)
        await _unbroken(asyncio.to_thread(_finish, temporary, path, overwrite=overwrite))
    finally:
        _discard(temporary)
    return count


async def _write_all(
    log: Log,
    selection: Selection,
    file: IO[bytes],
    format_: ExportFormat,
    last: int,
    on_progress: Callable[[int, int, int], None],
) -> int:
    count = 0
    lay_out = _csv if format_ == "csv" else _json_lines
    batch: list[bytes] = []

    async def write() -> None:
        await _unbroken(asyncio.to_thread(_write, file, batch, lay_out))
        batch.clear()

    if format_ == "csv":
        await _unbroken(asyncio.to_thread(_write, file, [], lambda _: _rows([COLUMNS])))
    async with contextlib.aclosing(log.events(selection, since_id=0)) as events:
        async for served in events:
            event_id = _event_id(served.raw)
            if event_id > last:  # what comes in meanwhile: a busy log has no end
                break
            batch.append(served.raw)
            count += 1
            if len(batch) == _BATCH_EVENTS:
                await write()
                on_progress(event_id, last, count)
    await write()
    on_progress(last, last, count)
    return count


async def _unbroken(job: Awaitable[None]) -> None:
    """Wait for a thread to the end even when cancelled: it must not write to a file that is being closed."""
    task = asyncio.ensure_future(job)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        task.cancelled() or task.exception()  # looked at: what went wrong as well does not matter any more
        raise


def _create(path: Path, *, overwrite: bool) -> IO[bytes]:
    """A file beside `path`, for this user alone: what it will hold is evidence."""
    try:
        if not overwrite and path.exists():
            raise _exists(path)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise _cannot(path, error) from None
    os.close(descriptor)
    return Path(name).open("wb")


def _write(file: IO[bytes], batch: list[bytes], lay_out: Callable[[list[bytes]], bytes]) -> None:
    content = lay_out(batch)
    try:
        file.write(content)
    except OSError as error:
        raise _cannot(Path(file.name), error) from None


def _finish(file: IO[bytes], path: Path, *, overwrite: bool) -> None:
    """Put the file in its place; without `overwrite` a link does it, which fails when there is one by now."""
    try:
        file.flush()
        os.fsync(file.fileno())
        if overwrite:
            Path(file.name).replace(path)
        else:
            _put_new(Path(file.name), path)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        raise _cannot(path, error) from None


def _put_new(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if path.exists():
            raise FileExistsError from None
        temporary.rename(path)


def _discard(file: IO[bytes]) -> None:
    """Close and remove it; after the rename there is none."""
    with contextlib.suppress(OSError):  # closing writes what is left, which a full disk refuses once more
        file.close()
    with contextlib.suppress(OSError):
        Path(file.name).unlink()


def _json_lines(batch: list[bytes]) -> bytes:
    return b"".join(raw + b"\n" for raw in batch)


def _csv(batch: list[bytes]) -> bytes:
    try:
        events = [_cells.decode(raw) for raw in batch]
    except _MALFORMED as error:
        raise _no_event(error) from None
    return _rows(
        (e.event_id, e.timestamp, e.kind, e.source, bytes(e.payload).decode(), e.prev_hash, e.hash) for e in events
    )


def _rows(rows: Iterable[Iterable[object]]) -> bytes:
    """RFC 4180: CRLF, quotes where needed."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows([map(_cell, row) for row in rows])
    return text.getvalue().encode()


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value


def _event_id(raw: bytes) -> int:
    try:
        return _numbered.decode(raw).event_id
    except _MALFORMED as error:
        raise _no_event(error) from None


def _no_event(error: Exception) -> ClientError:
    return ClientError(f"the daemon sent something that is no event: {safe(str(error))}", status=200)


def _exists(path: Path) -> FileExists:
    return FileExists(f"{safe(str(path))} is there already")


def _cannot(path: Path, error: OSError) -> ExportError:
    return ExportError(f"{safe(str(path))} cannot be written: {safe(error.strerror or str(error))}")
