"""What is known of a log's integrity, in plain lines: for the integrity screen and for a ticket. All of it safe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from rich.cells import cell_len

from audit_stream.chain import Verdict
from audit_stream.display import safe
from audit_tui.model.badge import Badge
from audit_tui.model.breakage import explain
from audit_tui.model.findings import Finder, Finding
from audit_tui.model.integrity import Integrity, Rewriting
from audit_tui.model.part_verdict import PartVerdict
from audit_tui.model.rows import Check, Gap, Row, check_after
from audit_tui.model.verdicts import Verifier
from audit_tui.text import duration, fit

__all__ = [
    "CHECK_MARKS",
    "Accepted",
    "Remembered",
    "accepted_lines",
    "around_lines",
    "break_text",
    "checked_now",
    "finding_lines",
    "head_lines",
    "known_lines",
    "rewriting_text",
    "ticket",
    "when",
]

CHECK_MARKS = {Check.LINKED: "✓", Check.GAP: "·", Check.NOT_CHECKED: "·", Check.BROKEN: "✗"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_MS = 1 << 47
_WIDTH = 77
"""What a terminal of 80 columns leaves beside the padding and the scroll bar."""
_BESIDE_NAMES = 44
"""Cells of a line around a break without the id's digits, the kind and the source."""
_MAX_NAME = 256
"""Characters; twice what a daemon accepts."""


class Remembered(Protocol):
    """A head that this console keeps on disk; times in Unix milliseconds."""

    @property
    def event_id(self) -> int:
        """Its place."""

    @property
    def hash(self) -> str:
        """64 hex characters."""

    @property
    def first_seen_ms(self) -> int:
        """When it was seen to be the newest for the first time."""

    @property
    def last_seen_ms(self) -> int:
        """And for the last time."""


class Accepted(Protocol):
    """A history that a person took in place of another; `event_id` and `hash` are its head then."""

    @property
    def at_ms(self) -> int:
        """When, in Unix milliseconds."""

    @property
    def event_id(self) -> int:
        """How long it was, 0 for an empty one."""

    @property
    def hash(self) -> str:
        """64 hex characters."""

    @property
    def given_up(self) -> Remembered | None:
        """The newest head that was remembered until then."""


def when(time_ms: int) -> str:
    """An instant in UTC to the second: `2026-05-15 03:14:15Z`."""
    moment = _EPOCH + timedelta(milliseconds=min(max(time_ms, 0), _LONGEST_MS))
    return moment.strftime("%Y-%m-%d %H:%M:%SZ")


def known_lines(integrity: Integrity) -> list[str]:
    """What was checked by whom, now."""
    verdict, newest = integrity.last_verdict, integrity.newest
    if newest is None or newest.event_id == 0:
        console = "console  has received no event yet"
    elif integrity.linked_from in integrity.own_breaks:
        console = (
            f"console  found #{integrity.linked_from} broken; what came after it, up to #{newest.event_id}, is linked"
        )
    else:
        console = f"console  received and linked #{integrity.linked_from} to #{newest.event_id} without a gap"
    return [
        f"{integrity.verifier.name:<9}{_verdict_line(verdict)}",
        console,
        f"         a verdict every {duration(integrity.verdicts.period_s)}"
        + (", one is under way" if integrity.verdicts.verifying_since_s is not None else ""),
    ]


def _verdict_line(verdict: Verdict | None) -> str:
    if verdict is None:
        return "has given no verdict yet"
    took = "" if verdict.duration_ms is None else f" in {duration(verdict.duration_ms / 1000)}"
    valid = "a part of a log, of which all holds that can be shown" if isinstance(verdict, PartVerdict) else "valid"
    says = valid if verdict.valid else f"BROKEN: {safe((verdict.reason or '')[:200])}"
    upto = f", up to #{verdict.head.event_id}" if verdict.head is not None else ""
    return f"{says}; checked {verdict.checked:,} events{took}{upto}"


def finding_lines(integrity: Integrity) -> list[str]:
    """The findings, the newest first."""
    return [_finding_line(finding, integrity.verifier) for finding in reversed(integrity.findings)] or ["nothing yet"]


def _finding_line(finding: Finding, verifier: Verifier) -> str:
    by = verifier.name if finding.by is Finder.DAEMON else finding.by.value
    parts = [f"{when(finding.last_ms)} {'✓' if finding.good else '✗'} {by:7} {finding.what}"]
    if finding.checked is not None:
        parts.append(f"{finding.checked:,} checked")
    if finding.head is not None:
        parts.append(f"head #{finding.head.event_id} {safe(finding.head.hash[:12])}")
    if finding.duration_ms is not None:
        parts.append(duration(finding.duration_ms / 1000))
    if finding.times > 1:
        parts.append(f"{finding.times:,} times since {when(finding.first_ms)}")
    return " · ".join(parts)


def head_lines(heads: Iterable[Remembered]) -> list[str]:
    """The remembered heads, the newest first, and since when."""
    newest_first = sorted(heads, key=lambda head: -head.event_id)
    return [
        f"#{head.event_id} {safe(head.hash[:12])} since {when(head.first_seen_ms)}, last {when(head.last_seen_ms)}"
        for head in newest_first
    ] or ["none yet"]


def accepted_lines(accepted: Iterable[Accepted]) -> list[str]:
    """What people took for the true history in place of another, the newest first."""
    lines = []
    for each in sorted(accepted, key=lambda each: -each.at_ms):
        line = f"{when(each.at_ms)} accepted up to #{each.event_id} {safe(each.hash[:12])}"
        gone = each.given_up
        lines.append(line if gone is None else f"{line} in place of #{gone.event_id} {safe(gone.hash[:12])}")
    return lines


def checked_now(items: Iterable[Row | Gap]) -> list[Row]:
    """The events of what was loaded, each checked against the one before it."""
    rows = [item for item in items if isinstance(item, Row)]
    before: Row | None = None
    for row in rows:
        check_after(before, row)
        before = row
    return rows


def around_lines(rows: Sequence[Row], event_id: int, width: int | None = _WIDTH) -> list[str]:
    """The events around one, a line each of at most `width` cells; one that is absent has a line too.

    Kinds and sources are cut where they have no room, but no hash is. Without a width they are whole.
    """
    lines = []
    missing = all(row.event_id != event_id for row in rows)
    digits = max(len(str(each)) for each in (event_id, *(row.event_id for row in rows)))
    kind, source = _name_cells(rows, None if width is None else width - _BESIDE_NAMES - digits)
    for row in rows:
        if missing and row.event_id > event_id:
            missing = False
            lines.append(_absent(event_id, digits))
        pointer = "▶" if row.event_id == event_id else " "
        lines.append(
            f"{pointer}{CHECK_MARKS[row.check]} #{row.event_id:<{digits}} {fit(safe(row.timestamp[:19]), 19)} "
            f"{fit(_name(row.kind), kind)} {fit(_name(row.source), source)} "
            f"{safe(row.hash[:8])}←{safe(row.prev_hash[:8])}"
        )
    return [*lines, _absent(event_id, digits)] if missing else lines


def _name(text: str) -> str:
    return safe(text[:_MAX_NAME])


def _name_cells(rows: Sequence[Row], room: int | None) -> tuple[int, int]:
    """Cells for the kind and for the source: what the longest needs, else three fifths of the room and the rest."""
    kind = max((cell_len(_name(row.kind)) for row in rows), default=0)
    source = max((cell_len(_name(row.source)) for row in rows), default=0)
    if room is None or kind + source <= room:
        return kind, source
    kind = min(kind, max(room * 3 // 5, room - source))
    return max(0, kind), max(0, room - kind)


def _absent(event_id: int, digits: int) -> str:
    return f"▶✗ #{event_id:<{digits}} is not in the log"


def break_text(
    event_id: int, rows: Sequence[Row], found: Row | None, earlier: Row | None, width: int | None = _WIDTH
) -> str:
    """An event that does not hold, explained, with the events around it.

    `rows` have just been loaded; `found` is the event as this console found it broken, `earlier` as it is in memory.
    `width` is that of `around_lines`.
    """
    by_id = {row.event_id: row for row in rows}
    row = by_id.get(event_id) or found
    lines = around_lines(rows, event_id, width)
    if row is None:
        return "\n".join([f"Event #{event_id}: it is not in the log", *lines])
    copy = next((each for each in (earlier, found) if each is not None and each.raw != row.raw), earlier)
    breakage = explain(by_id.get(event_id - 1), row, by_id.get(event_id + 1), None if copy is row else copy)
    return "\n".join([breakage.as_text(), "", *lines])


def rewriting_text(rewriting: Rewriting) -> str:
    """A remembered head beside what the log holds instead."""
    remembered, found = rewriting.remembered, rewriting.found
    lines = [f"Rewritten at or before event #{remembered.event_id}, noticed {when(rewriting.found_ms)}"]
    lines += ["hash: ✗ differs", f"  expected {safe(remembered.hash[:80])}"]
    if found is None:
        return "\n".join([*lines, "  found    (no such event)"])
    if found.event_id != remembered.event_id:  # another event: its hash was never to be that one
        return "\n".join([*lines, f"  the head now, #{found.event_id}:", f"           {safe(found.hash[:80])}"])
    return "\n".join([*lines, f"  found    {safe(found.hash[:80])}"])


def ticket(log: str, badge: Badge, integrity: Integrity, now_ms: int, details: str) -> str:
    """All that a ticket needs, as text."""
    lines = [f"audit-stream integrity: {badge.text}", badge.detail, *([f"log      {safe(log)}"] if log else [])]
    lines += [f"time     {when(now_ms)}", *known_lines(integrity), ""]
    lines += [details, ""] if details else []
    return "\n".join([*lines, "Findings, the newest first:", *finding_lines(integrity)[:20], ""])
