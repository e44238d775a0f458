"""What the console says of one event, line by line; everything from outside is safe."""

from __future__ import annotations

import enum

import msgspec

from audit_stream.display import safe
from audit_stream.event_check import EventCheck
from audit_tui.model.detail import local_time, utc_time
from audit_tui.model.rows import Row

__all__ = ["DetailLine", "Tone", "byte_sections", "hash_lines", "header_lines", "verdict_line"]


class Tone(enum.Enum):
    """What a line is, for its colour; its words and its mark say the same."""

    PLAIN = "plain"
    TITLE = "title"
    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"


class DetailLine(msgspec.Struct, frozen=True):
    """A line and its tone."""

    text: str
    tone: Tone = Tone.PLAIN


def verdict_line(found: EventCheck) -> DetailLine:
    """The console's own verdict on the event."""
    if not found.holds:
        return DetailLine(found.words, Tone.BAD)
    return DetailLine(found.words, Tone.GOOD if found.link_holds else Tone.UNKNOWN)


def header_lines(row: Row) -> list[str]:
    """Which event it is, in two lines."""
    time_ms = row.time_ms
    return [
        f"#{row.event_id}  {row.severity.label}  {safe(row.kind)}  {safe(row.source)}",
        safe(row.timestamp) if time_ms is None else f"{utc_time(time_ms)}  ({local_time(time_ms)} here)",
    ]


def hash_lines(row: Row, found: EventCheck, before: str) -> list[DetailLine]:
    """Hashes side by side, then times and sizes. `before` says why the event before is not known, "" if that is."""
    return [
        *_hash_part(found),
        DetailLine(""),
        *_link_part(found, before),
        DetailLine(""),
        DetailLine("Time", Tone.TITLE),
        *_time_part(row),
        DetailLine(""),
        DetailLine("Size", Tone.TITLE),
        DetailLine(f"  as served {len(row.raw):,} bytes"),
        DetailLine(f"  canonical {'-' if found.canonical is None else f'{len(found.canonical):,} bytes'}"),
    ]


def _hash_part(found: EventCheck) -> list[DetailLine]:
    if found.hash_fits:
        verdict = DetailLine("  ✓ equal: the bytes are those that were hashed", Tone.GOOD)
    elif found.computed_hash is None:
        verdict = DetailLine("  ✗ not the form that was hashed, so there is nothing to compare", Tone.BAD)
    else:
        verdict = DetailLine("  ✗ NOT equal: these are not the bytes that were hashed", Tone.BAD)
    lines = [
        DetailLine("Hash", Tone.TITLE),
        DetailLine(f"  carried   {safe(found.carried_hash)}"),
        DetailLine(f"  computed  {found.computed_hash or '-'}"),
        verdict,
    ]
    if why := found.not_canonical:
        lines.append(DetailLine(f"  ✗ not canonical: {safe(why)}", Tone.BAD))
    return lines


def _link_part(found: EventCheck, before: str) -> list[DetailLine]:
    whose = "64 zeros" if found.event_id == 1 else f"#{found.event_id - 1}"
    if found.link_holds is None:
        verdict = DetailLine(f"  ~ not checked: {safe(before)}", Tone.UNKNOWN)
    elif found.link_holds:
        verdict = DetailLine("  ✓ equal: nothing was taken out or put in between", Tone.GOOD)
    else:
        verdict = DetailLine("  ✗ NOT equal: this event does not follow that one", Tone.BAD)
    return [
        DetailLine("Link to the event before", Tone.TITLE),
        DetailLine(f"  prev_hash {safe(found.carried_prev)}"),
        DetailLine(f"  {whose:<9} {safe(found.expected_prev or '-')}"),
        verdict,
    ]


def _time_part(row: Row) -> list[DetailLine]:
    lines, time_ms = [DetailLine(f"  as served {safe(row.timestamp)}")], row.time_ms
    if time_ms is None:
        return [*lines, DetailLine("  ~ no RFC 3339 instant: since and until pass it by", Tone.UNKNOWN)]
    return [*lines, DetailLine(f"  UTC       {utc_time(time_ms)}"), DetailLine(f"  here      {local_time(time_ms)}")]


def byte_sections(row: Row, found: EventCheck) -> list[tuple[str, str]]:
    """Titles and texts: the bytes as served, and the canonical ones. What is not printable ASCII is escaped."""
    sections = [(f"As served, {len(row.raw):,} bytes", _ascii(row.raw))]
    if found.canonical is None:
        return [*sections, (f"No canonical bytes: {safe(found.not_canonical)}", "")]
    return [*sections, (f"Canonical, which the hash covers, {len(found.canonical):,} bytes", _ascii(found.canonical))]


def _ascii(raw: bytes) -> str:
    return safe(raw.decode("ascii", "backslashreplace"))
