"""What the console says of one event, line by line; everything from outside is safe."""

from __future__ import annotations

import enum

import msgspec

from audit_stream.display import safe
from audit_tui.model.detail import Inspection, local_time, utc_time
from audit_tui.model.rows import Row

__all__ = ["Line", "Tone", "byte_sections", "hash_lines", "header_lines", "verdict_line"]


class Tone(enum.Enum):
    """What a line is, for its colour; its words and its mark say the same."""

    PLAIN = "plain"
    TITLE = "title"
    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"


class Line(msgspec.Struct, frozen=True):
    """A line and its tone."""

    text: str
    tone: Tone = Tone.PLAIN


def verdict_line(found: Inspection) -> Line:
    """The console's own verdict on the event."""
    if not found.hash_fits or found.link_holds is False:
        return Line(found.words, Tone.BAD)
    return Line(found.words, Tone.GOOD if found.link_holds else Tone.UNKNOWN)


def header_lines(row: Row, found: Inspection) -> list[str]:
    """Which event it is, in two lines."""
    time = safe(found.timestamp) if found.time_ms is None else utc_time(found.time_ms)
    return [
        f"#{row.event_id}  {row.severity.label}  {safe(row.kind)}  {safe(row.source)}",
        time if found.time_ms is None else f"{time}  ({local_time(found.time_ms)} here)",
    ]


def hash_lines(found: Inspection, before: str) -> list[Line]:
    """Hashes side by side, then times and sizes. `before` says why the event before is not known, "" if that is."""
    return [
        *_hash_part(found),
        Line(""),
        *_link_part(found, before),
        Line(""),
        Line("Time", Tone.TITLE),
        *_time_part(found),
        Line(""),
        Line("Size", Tone.TITLE),
        Line(f"  as served {found.served_bytes:,} bytes"),
        Line(f"  canonical {'-' if found.canonical is None else f'{len(found.canonical):,} bytes'}"),
    ]


def _hash_part(found: Inspection) -> list[Line]:
    if found.hash_fits:
        verdict = Line("  ✓ equal: the bytes are those that were hashed", Tone.GOOD)
    elif found.hash_computed is None:
        verdict = Line("  ✗ not the form that was hashed, so there is nothing to compare", Tone.BAD)
    else:
        verdict = Line("  ✗ NOT equal: these are not the bytes that were hashed", Tone.BAD)
    lines = [
        Line("Hash", Tone.TITLE),
        Line(f"  carried   {safe(found.hash_served)}"),
        Line(f"  computed  {found.hash_computed or '-'}"),
        verdict,
    ]
    if found.not_canonical:
        lines.append(Line(f"  ✗ not canonical: {safe(found.not_canonical)}", Tone.BAD))
    return lines


def _link_part(found: Inspection, before: str) -> list[Line]:
    whose = "64 zeros" if found.event_id == 1 else f"#{found.event_id - 1}"
    if found.link_holds is None:
        verdict = Line(f"  ~ not checked: {safe(before)}", Tone.UNKNOWN)
    elif found.link_holds:
        verdict = Line("  ✓ equal: nothing was taken out or put in between", Tone.GOOD)
    else:
        verdict = Line("  ✗ NOT equal: this event does not follow that one", Tone.BAD)
    return [
        Line("Link to the event before", Tone.TITLE),
        Line(f"  prev_hash {safe(found.prev_hash)}"),
        Line(f"  {whose:<9} {safe(found.expected_prev or '-')}"),
        verdict,
    ]


def _time_part(found: Inspection) -> list[Line]:
    lines = [Line(f"  as served {safe(found.timestamp)}")]
    if found.time_ms is None:
        return [*lines, Line("  ~ no RFC 3339 instant: since and until pass it by", Tone.UNKNOWN)]
    return [*lines, Line(f"  UTC       {utc_time(found.time_ms)}"), Line(f"  here      {local_time(found.time_ms)}")]


def byte_sections(row: Row, found: Inspection) -> list[tuple[str, str]]:
    """Titles and texts: the bytes as served, and the canonical ones. What is not printable ASCII is escaped."""
    sections = [(f"As served, {found.served_bytes:,} bytes", _ascii(row.raw))]
    if found.canonical is None:
        return [*sections, (f"No canonical bytes: {safe(found.not_canonical)}", "")]
    return [*sections, (f"Canonical, which the hash covers, {len(found.canonical):,} bytes", _ascii(found.canonical))]


def _ascii(raw: bytes) -> str:
    return safe(raw.decode("ascii", "backslashreplace"))
