"""`audit-stream export`: the log as a file."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from audit_daemon.cli.errors import CommandError, store_errors
from audit_daemon.cli.options import Kinds, Since, Sources, Until, UrlOrDb, Words, daemon_url, selection
from audit_daemon.cli.refusals import refusals
from audit_daemon.cli.terminal import Progress, note, progress
from audit_stream.client import Client, Selection
from audit_stream.logfile.index import read_log
from audit_stream.logfile.query import criteria_of
from audit_stream.paths import typed_path
from audit_stream.whole_file import WholeFile

__all__ = ["export"]

_ONE_A_LINE = frozenset({".ndjson", ".jsonl"})

_Chunk = tuple[bytes, int, int]
"""Whole NDJSON lines, how far in the log they lead, and where the log ends."""


async def export(
    *words: Words,
    url: UrlOrDb = None,
    db: Annotated[
        Path | None, Parameter(help="Read this SQLite file itself, without a daemon or beside one that runs.")
    ] = None,
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="The file to write, by default standard output.")
    ] = None,
    format_: Annotated[
        Literal["json", "ndjson"] | None,
        Parameter(
            name="--format",
            help="One JSON array, or one event a line. Default: ndjson for a file named so (or .jsonl), else json.",
        ),
    ] = None,
    kind: Kinds = None,
    source: Sources = None,
    since: Since = None,
    until: Until = None,
) -> int:
    """Write all events up to now, or those that fit, oldest first, each exactly as it is served and was hashed.

    A file is written under another name and renamed when it is complete. An export of the whole log can be checked
    and read back with `audit-stream import`.

    ```
    audit-stream export --output chain.json
    audit-stream export --output chain.ndjson
    audit-stream export --db /var/lib/audit-stream/audit.db --format ndjson | gzip > chain.ndjson.gz
    audit-stream export --kind request_denied --since 2026-05-01T00:00:00Z -o denied.json
    ```
    """
    if url is not None and db is not None:
        raise CommandError("give --db to read a file or --url to ask a daemon, not both")
    if format_ is None:
        lines = output is not None and output.suffix.lower() in _ONE_A_LINE
        format_ = "ndjson" if lines else "json"
    wanted = selection(words, kind, source, since, until)
    chunks = _from_daemon(daemon_url(url), wanted) if db is None else _from_file(typed_path(db), wanted)
    with refusals(words, kind, since, until), progress("exporting") as show:
        async with contextlib.aclosing(chunks):
            if output is None:
                count = await _write(chunks, sys.stdout.buffer.write, format_, show)
                sys.stdout.buffer.flush()
            else:
                with _complete_or_not_there(output) as write:
                    count = await _write(chunks, write, format_, show)
    if output is not None:
        note(f"{count:,} event{'' if count == 1 else 's'} in {output}")
    return 0


async def _from_daemon(url: str, wanted: Selection) -> AsyncGenerator[_Chunk]:
    async with Client(url) as client:
        head_id = (await client.stats()).head.event_id
        lines = client.lines(wanted, since_id=0, before_id=head_id + 1)
        async with contextlib.aclosing(lines):
            async for chunk in lines:
                yield chunk, _last_id(chunk), head_id


async def _from_file(path: Path, wanted: Selection) -> AsyncGenerator[_Chunk]:
    with store_errors():
        for chunk in read_log(path, criteria_of(wanted)):
            yield chunk


def _last_id(lines: bytes) -> int:
    """The id of the last event, from the first bytes of its canonical form: `{"event_id":42,`."""
    start = lines.rfind(b"\n", 0, -1) + 1
    digits = lines[start:].removeprefix(b'{"event_id":').partition(b",")[0]
    return int(digits) if digits.isdigit() else 0


async def _write(chunks: AsyncIterator[_Chunk], write: Callable[[bytes], object], format_: str, show: Progress) -> int:
    """Write chunks in the format; returns the number of events. Between two events stands a line break in both."""
    count = 0
    separator = b"["
    async for lines, last_id, head_id in chunks:
        if lines:
            if format_ == "json":
                write(separator + lines[:-1].replace(b"\n", b",\n"))
                separator = b",\n"
            else:
                write(lines)
            count += lines.count(b"\n")
        show(last_id, head_id)
    if format_ == "json":
        write(b"[]\n" if count == 0 else b"]\n")
    return count


@contextlib.contextmanager
def _complete_or_not_there(output: Path) -> Iterator[Callable[[bytes], object]]:
    """Write to a file that gets its name when all is on disk; whatever fails, an older file of that name stays."""
    path = typed_path(output)
    try:
        if _is_stream(path):
            with path.open("wb") as stream:
                yield stream.write
        else:
            with WholeFile(path, replace=True) as file:
                yield file.write
                file.commit()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from None


def _is_stream(path: Path) -> bool:
    """A pipe, a device, or a name for what this process has open already, such as /dev/stdout."""
    return path.exists() and (not path.is_file() or str(path).startswith(("/dev/std", "/dev/fd/", "/proc/self/fd/")))
