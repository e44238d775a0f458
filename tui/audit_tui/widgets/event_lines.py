"""Lines of the live table: what stands in them, cut to their cells, and in which style."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import msgspec
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.widget import Widget

from audit_stream.display import safe
from audit_stream.kinds import Severity
from audit_tui.model.columns import CHECK_MARKS, SEVERITY_MARKS, Widths, summary
from audit_tui.model.find import Finder
from audit_tui.model.rows import Check, Gap, Row
from audit_tui.text import fit

__all__ = ["EventLine", "Styles", "draw_gap", "draw_header", "draw_row"]


_SECONDS_CELLS = 8
"""A column of this width shows times without their milliseconds."""


_SELECTED = "▪"


class Styles(msgspec.Struct, frozen=True, kw_only=True):
    """The table's styles in the theme of the moment."""

    header: Style
    muted: Style
    broken: Style
    cursor: Style
    cell: Style
    selected: Style
    found: Style
    gap: Style
    thumb: Style
    severity: dict[Severity, Style]

    @classmethod
    def of(cls, table: Widget) -> Self:
        """From the table's component classes."""

        def style(name: str, *, partial: bool = False) -> Style:
            return table.get_component_rich_style(f"event-table--{name}", partial=partial)

        return cls(
            header=style("header"),
            muted=style("muted"),
            broken=style("broken"),
            cursor=Style(bgcolor=style("cursor").bgcolor, bold=True),
            cell=Style(underline=True),
            selected=Style(bgcolor=style("selected").bgcolor),
            found=Style(reverse=True),
            gap=style("gap"),
            thumb=style("thumb"),
            severity={severity: style(severity.label) for severity in Severity},
        )


class EventLine(msgspec.Struct, frozen=True):
    """A drawn line; `columns` are the segments of each column, so that one of them can be marked."""

    row: Row | None
    gutter: Segment
    columns: tuple[tuple[Segment, ...], ...]

    def strip(self, over: Style | None, column: int | None, styles: Styles, *, selected: bool) -> list[Segment]:
        """The segments, all in the style `over` if there is one, with the column of the cell cursor underlined.

        What is broken keeps its own ground: its text would not be readable on another. `selected` is in the gutter too,
        where no other mark is, for who sees no colours.
        """
        gutter = self.gutter
        if selected and gutter.text.endswith(" "):
            gutter = Segment(f"{gutter.text[:-1]}{_SELECTED}", gutter.style)
        if over is None:
            return [gutter, *(segment for cells in self.columns for segment in cells)]
        segments = [gutter]
        for index, cells in enumerate(self.columns):
            put_over = over + styles.cell if index == column else over
            for text, style, _ in cells:
                style = style or Style()
                alarming = style.bgcolor == styles.broken.bgcolor
                segments.append(Segment(text, style + (put_over.without_color if alarming else put_over)))
        return segments


def draw_row(
    row: Row, widths: Widths, room: int, styles: Styles, *, when: str, marked: bool, finder: Finder | None
) -> EventLine:
    """An event in `room` cells."""
    loud = styles.severity[row.severity]
    muted = styles.muted
    is_broken = row.check is Check.BROKEN
    gutter = Segment(CHECK_MARKS[row.check] + ("★" if marked else " "), styles.broken if is_broken else muted)
    cells: list[tuple[str, int, Style]] = [
        (f"{row.event_id:>{widths.id}}", widths.id, muted),
        (when[:8] if widths.time == _SECONDS_CELLS else when, widths.time, muted),
        (SEVERITY_MARKS[row.severity][: widths.severity], widths.severity, loud),
        (safe(row.kind), widths.kind, loud),
        (safe(row.source), widths.source, styles.severity[Severity.INFO]),
    ]
    columns: list[tuple[Segment, ...]] = []
    left = room - 2
    for text, width, style in cells:
        width = min(width, max(0, left - 1))
        if not width:
            columns.append(())
            continue
        columns.append((*_found(fit(text, width), style, finder, styles), Segment(" ", style)))
        left -= width + 1
    text = f"✗ {row.reason}" if is_broken else summary(row)
    columns.append(
        _found(fit(text, max(0, left)), styles.broken if is_broken else styles.severity[Severity.INFO], finder, styles)
    )
    return EventLine(row, gutter, tuple(columns))


def draw_header(widths: Widths, room: int, styles: Styles) -> Segment:
    """The names of the columns."""
    cells = [
        ("#", widths.id),
        ("time", widths.time),
        ("s" if widths.severity == 1 else "sev", widths.severity),
        ("kind", widths.kind),
        ("source", widths.source),
    ]
    text = "  " + "".join(f"{fit(name, width)} " for name, width in cells if width)
    text = text[: max(0, room)] if cell_len(text) + len("payload") > room else f"{text}payload"
    return Segment(fit(text, room), styles.header)


def draw_gap(gap: Gap, room: int, styles: Styles, times: Sequence[str]) -> EventLine:
    """A line that says what is missing; `times` are those of the events before and after, as far as they are there."""
    ids = f"#{gap.first:,}" if gap.count == 1 else f"#{gap.first:,}–#{gap.last:,}"
    if gap.absent:
        text = f"{gap.count:,} missing: {ids} {'is' if gap.count == 1 else 'are'} not in the log"
    else:
        between = f"{'–'.join(times)}, " if times else ""
        text = f"{gap.count:,} missed, {between}{ids}, Enter to load"
    line = fit(f"┄ {text}", room - 2)
    return EventLine(None, Segment("┄┄", styles.gap), ((Segment(line, styles.gap),),))


def _found(text: str, style: Style, finder: Finder | None, styles: Styles) -> tuple[Segment, ...]:
    """The text with what find has found in it marked."""
    spans = finder.spans(text) if finder is not None else []
    if not spans:
        return (Segment(text, style),)
    pieces, at = [], 0
    for start, end in spans:
        pieces += [Segment(text[at:start], style), Segment(text[start:end], style + styles.found)]
        at = end
    pieces.append(Segment(text[at:], style))
    assert sum(cell_len(piece.text) for piece in pieces) == cell_len(text)
    return tuple(piece for piece in pieces if piece.text)
