"""What the status line and the empty table say of a session."""

from __future__ import annotations

from audit_stream.display import safe
from audit_stream.kinds import Severity
from audit_tui.log import is_address
from audit_tui.model.connection import ConnectionState
from audit_tui.model.cursor import Cursor
from audit_tui.model.searching import Searching, searching
from audit_tui.session import Session
from audit_tui.widgets.status_bar import StatusParts

__all__ = ["empty_text", "search_of", "shown_text", "status_parts"]

_STYLES = {ConnectionState.LIVE: "ok", ConnectionState.CATCHING_UP: "warn", ConnectionState.CONNECTING: "warn"}


def status_parts(session: Session, cursor: Cursor, *, finding_at: int = 0) -> StatusParts:
    """The status line. `finding_at` is the event that find has come to in the history, else 0."""
    connection, now_s = session.connection, session.clock.now_s()
    text = connection.text(now_s)
    if connection.state is ConnectionState.LIVE and not is_address(session.log.url):
        text = "file"
    if connection.state is ConnectionState.RETRYING and connection.reason:
        text = f"{text}: {safe(connection.reason)}"
    return StatusParts(
        daemon=safe(session.log.url.removeprefix("http://")),
        connection=text,
        connection_style=_STYLES.get(connection.state, "bad"),
        rate_per_s=session.activity.rate_per_s(now_s),
        delay_ms=session.delay_ms,
        shown=shown_text(session, cursor, finding_at=finding_at),
    )


def shown_text(session: Session, cursor: Cursor, *, finding_at: int = 0) -> str:
    """Paused and how much came since, and what a filter hides."""
    view, ring = session.view, session.ring
    parts = []
    if not view.following:
        worst = f", worst {view.worst.label}" if view.waiting and view.worst > Severity.INFO else ""
        missed = f" and {view.missed:,} missed" if view.missed else ""
        parts.append(f"PAUSED +{view.waiting:,} new{missed}{worst} (End: live)")
    if selected := cursor.selected_count:
        parts.append(f"{selected:,} selected")
    if finding_at:
        parts.append(f"finding, at #{finding_at:,} (Esc: stop)")
    if view.filtered:
        checked = ring.rows and view.low >= max(ring.rows[0].event_id, ring.linked_from)
        hidden = "the hidden ones checked" if checked else "the hidden ones not all checked"
        stats = session.stats
        of_all = "" if stats is not None and stats.count < stats.head.event_id else f" of {view.looked_at:,}"
        parts.append(f"{view.row_count:,}{of_all} shown, {hidden}")  # of a part it is not known how many it hides
    else:
        parts.append(f"{ring.received:,} received")
    return " · ".join(parts)


def search_of(session: Session, cursor: Cursor) -> Searching | None:
    """The search through the history that goes on, or was stopped."""
    pages = session.pages
    return searching(session.view, cursor, searched_to=pages.searched_to, waits_for=pages.waits_for)


def empty_text(session: Session, search: Searching | None) -> str:
    """Why there is no event in the table."""
    connection = session.connection
    if connection.state in (ConnectionState.RETRYING, ConnectionState.REFUSED):
        return safe(connection.reason)
    if connection.state is ConnectionState.CONNECTING:
        return f"connecting to {safe(session.log.url)} …"
    if not session.view.filtered:
        return "the log is empty: events appear here as they come"
    if search is not None:
        return f"no event passes the filter so far: {search.text}"
    return "no event passes the filter: w takes its last term away"
