"""`audit-tui check FILE`: an evidence bundle or an export verified without a daemon or a screen."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TextIO

import msgspec

from audit_stream.bundle import MAX_BUNDLE_BYTES, Bundle, BundleError, Report, check, read
from audit_stream.display import counted, safe
from audit_stream.errors import ClientError

__all__ = ["check_file"]

INTACT, BROKEN, UNREADABLE = 0, 1, 2

_MAX_FILE_BYTES = 8 * MAX_BUNDLE_BYTES
"""JSON escapes at most double an event; a file beyond this is no bundle, and is not read into memory."""

_STEP_EVENTS = 10_000
_MAX_FAULTS = 20
"""Printed: enough to see a pattern, and the verdict stays on the screen."""


class _Exported(msgspec.Struct):
    event_id: int
    hash: str


def check_file(path: Path, *, out: TextIO) -> int:
    """Print what the file proves; the exit code: 0 intact, 1 broken, 2 when it is neither a bundle nor an export.

    That is so also when whoever reads `out` stops before the end.
    """
    code, lines = _judged(path)
    try:
        for line in lines:
            print(safe(line), file=out)
        out.flush()
    except BrokenPipeError:  # what is buffered must go elsewhere, or flushing it at exit fails again, with another code
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, out.fileno())
        os.close(nowhere)
    return code


def _judged(path: Path) -> tuple[int, list[str]]:
    """The exit code, and the lines to print."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        return UNREADABLE, [f"{path}: {error.strerror or error}"]
    if _is_export(content):
        return _judged_export(path)
    try:
        if len(content) > _MAX_FILE_BYTES:
            raise BundleError("this is no evidence bundle: it is too large for one")
        bundle = read(content)
    except BundleError as error:
        return UNREADABLE, [f"{path}: {error}"]
    report = check(bundle)
    return INTACT if report.intact else BROKEN, _lines(bundle, report)


def _judged_export(path: Path) -> tuple[int, list[str]]:
    from audit_tui.model.part_verdict import PartVerdict  # only for exports: a bundle needs none of it
    from audit_tui.offline.export_check import ExportCheck
    from audit_tui.offline.export_file import scan

    try:
        check_ = ExportCheck(path, scan(path))
        while (verdict := check_.step(_STEP_EVENTS)) is None:
            pass
    except OSError as error:
        return UNREADABLE, [f"{path}: {error.strerror or error}"]
    except ClientError as error:
        return UNREADABLE, [str(error)]
    if not verdict.valid:
        return BROKEN, [f"BROKEN at #{verdict.first_break_at}: {verdict.reason}"]
    events, head = counted(verdict.checked, "event"), verdict.head
    if isinstance(verdict, PartVerdict):
        lines = [f"PART of a log, of which all holds that can be shown: {events}", f"  {verdict.sentences}"]
    else:
        lines = [f"INTACT: {events}, linked one to the next from #1 on"]
    if head is not None and head.event_id:
        lines += _section(
            "Not proven",
            (
                f"That #{head.event_id} {head.hash} was the head of the log, and so that nobody has recomputed the "
                "hashes: compare it with a head that you know.",
                f"Anything about events after #{head.event_id}.",
            ),
        )
    return INTACT, lines


def _lines(bundle: Bundle, report: Report) -> list[str]:
    count, head = len(bundle.selected), bundle.head
    selected = counted(count, "selected event")
    if not report.intact:
        verdict = f"BROKEN at #{report.faults[0].event_id}"
    elif report.reaches_head:
        verdict = f"INTACT, linked to the head #{head.event_id}"
    else:
        verdict = f"INTACT, but not linked to the head #{head.event_id}"
    more = len(report.faults) - _MAX_FAULTS
    return [
        f"{verdict}: {selected}, {len(bundle.events):,} in the bundle",
        *(f"  #{fault.event_id}: {fault.reason}" for fault in report.faults[:_MAX_FAULTS]),
        *([f"  (and {more:,} more)"] if more > 0 else ()),
        *_section("Proven", report.proven),
        *_section("Claimed, not proven", report.claimed),
        *_section("Not proven", report.not_proven),
    ]


def _section(title: str, sentences: tuple[str, ...]) -> list[str]:
    return [f"{title}:", *(f"  {sentence}" for sentence in sentences)] if sentences else []


def _is_export(content: bytes) -> bool:
    """Whether this begins like an export: an event a line, or a JSON array of events."""
    start = content[: 2 << 20].lstrip().removeprefix(b"[").lstrip()
    line = start.partition(b"\n")[0].strip().rstrip(b",]")
    try:
        msgspec.json.decode(line, type=_Exported)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return content.lstrip()[:1] == b"[" and b'"event_id":' in start[:200]
    return True
