"""What the table's columns show of an event, as safe text, and how wide they are."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from audit_stream.display import payload_summary, safe
from audit_stream.kinds import Severity
from audit_stream.timestamps import time_ms_or_none
from audit_tui.model.rows import Check, Row
from audit_tui.text import ago

__all__ = ["CHECK_MARKS", "COLUMNS", "SEVERITY_MARKS", "TIME_FORMATS", "Widths", "line_text", "summary", "time_text"]

COLUMNS = ("id", "time", "severity", "kind", "source", "summary")
TIME_FORMATS = ("local", "utc", "relative", "full")

CHECK_MARKS = {Check.LINKED: "│", Check.GAP: "┊", Check.NOT_CHECKED: "?", Check.BROKEN: "✗"}
"""The gutter: linked, hash holds but the event before was not seen, not checked, broken."""

SEVERITY_MARKS = {
    Severity.INFO: "  info",
    Severity.NOTICE: "· note",
    Severity.WARNING: "! WARN",
    Severity.CRITICAL: "‼ CRIT",
}
"""A mark and a word, so that it reads without colour; the first character where room is short."""

_GUTTER_CELLS = 2
_TIME_CELLS = {"local": 12, "utc": 13, "relative": 10, "full": 24}


class Widths(msgspec.Struct, frozen=True, kw_only=True):
    """Cells of each column, 0 for one that is not shown; the summary takes what is left."""

    id: int
    time: int
    severity: int
    kind: int
    source: int

    @classmethod
    def of(cls, width: int, *, id_digits: int, time_format: str, hidden: frozenset[str]) -> Widths:
        """What fits a table of `width` cells."""
        narrow, usual = width < 100, width < 140
        time = _TIME_CELLS[time_format]
        wanted = {
            "id": max(4, id_digits + 1),
            "time": min(time, 8) if narrow and time_format == "local" else time,
            "severity": 1 if narrow else 6,
            "kind": 18 if narrow else 26 if usual else 30,
            "source": 14 if narrow else 22 if usual else 28,
        }
        if width < 50:
            wanted |= {"time": 0, "source": 0}
        return cls(**{name: 0 if name in hidden else cells for name, cells in wanted.items()})

    def column_at(self, cell: int) -> str:
        """The column at a cell of a line; the summary's takes what is left."""
        end = _GUTTER_CELLS
        for name in COLUMNS[:-1]:
            cells = getattr(self, name)
            end += cells + 1 if cells else 0
            if cell < end:
                return name
        return COLUMNS[-1]


def time_text(row: Row, time_format: str, now_ms: int) -> str:
    """The timestamp; one that is no RFC 3339 as it is."""
    timestamp = row.timestamp
    if time_format == "utc" and len(timestamp) == 29 and timestamp.endswith("+00:00"):
        return safe(timestamp[11:23] + "Z")
    at_ms = time_ms_or_none(timestamp)
    if at_ms is None:
        return safe(timestamp)
    if time_format == "relative":
        return ago(max(0.0, (now_ms - at_ms) / 1000))
    try:
        at = datetime.fromtimestamp(at_ms / 1000, UTC)
        if time_format == "full":
            return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at_ms % 1000:03d}Z"
        shown = at if time_format == "utc" else at.astimezone()
    except (OverflowError, ValueError, OSError):
        return safe(timestamp)
    return f"{shown:%H:%M:%S}.{at_ms % 1000:03d}" + ("Z" if time_format == "utc" else "")


def summary(row: Row) -> str:
    """The payload on one line."""
    return " ".join(payload_summary(row.payload))


def line_text(row: Row) -> str:
    """What find looks through."""
    return f"#{row.event_id} {safe(row.kind)} {safe(row.source)} {summary(row)}"
