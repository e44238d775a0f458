"""Events of a log to a file, as JSON lines or CSV: whole, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from audit_stream.client import Selection
from audit_stream.display import safe
from audit_stream.errors import AuditStreamError
from audit_stream.whole_file import WholeFile
from audit_tui.log import Log
from audit_tui.model.rows import MALFORMED, event_id_of, no_event

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


_cells = msgspec.json.Decoder(_Cells)


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
    with _sayable(path), WholeFile(path, replace=overwrite) as file:  # no thread: a cancelled one would leave it behind
        count = await _write_all(log, selection, file, format_, last, on_progress)
        await _unbroken(asyncio.to_thread(file.commit))
    return count


async def _write_all(
    log: Log,
    selection: Selection,
    file: WholeFile,
    format_: ExportFormat,
    last: int,
    on_progress: Callable[[int, int, int], None],
) -> int:
    count = 0
    lay_out = _csv if format_ == "csv" else _json_lines
    batch: list[bytes] = []

    async def write() -> None:
        await _unbroken(asyncio.to_thread(lambda: file.write(lay_out(batch))))
        batch.clear()

    if format_ == "csv":
        await _unbroken(asyncio.to_thread(file.write, _rows([COLUMNS])))
    async with contextlib.aclosing(log.events(selection, since_id=0)) as events:
        async for served in events:
            event_id = event_id_of(served)
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


@contextlib.contextmanager
def _sayable(path: Path) -> Iterator[None]:
    """What the file system refuses, as a sentence."""
    try:
        yield
    except FileExistsError:
        raise FileExists(f"{safe(str(path))} is there already") from None
    except OSError as error:
        reason = safe(error.strerror or str(error))
        raise ExportError(f"{safe(str(path))} cannot be written: {reason}") from None


def _json_lines(batch: list[bytes]) -> bytes:
    return b"".join(raw + b"\n" for raw in batch)


def _csv(batch: list[bytes]) -> bytes:
    try:
        events = [_cells.decode(raw) for raw in batch]
    except MALFORMED as error:
        raise no_event(error) from None
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
