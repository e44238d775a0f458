"""Marks and notes on events, and the hand-over of them."""

from __future__ import annotations

from audit_tui.controllers.host import Host
from audit_tui.model.rows import Row
from audit_tui.session import Session
from audit_tui.user_data import UserData
from audit_tui.widgets.event_table import EventTable

__all__ = ["MarkController"]


class MarkController:
    """Events that somebody wants to find again. Without a `row` it is the one under the cursor."""

    def __init__(self, session: Session, table: EventTable, user_data: UserData, host: Host) -> None:
        self._session = session
        self._table = table
        self._user_data = user_data
        self._host = host

    def draw(self) -> None:
        """The table's stars."""
        self._table.marked = frozenset(mark.hash for mark in self._user_data.marks.all())
        self._table.redraw()

    def toggle(self, row: Row | None = None) -> None:
        """Mark an event, or take the mark away."""
        row = row or self._table.cursor_row
        if row is not None:
            marked = self._user_data.marks.toggle(self._user_data.mark_of(row, self._session.log.url))
            self._host.say(f"#{row.event_id} {'marked' if marked else 'no longer marked'}")
            self.draw()

    def write_note(self, row: Row | None = None) -> None:
        """Write a note on an event."""
        from audit_tui.screens.note import NoteScreen

        row = row or self._table.cursor_row
        if row is None:
            return
        marks = self._user_data.marks
        mark = marks.get(row.hash) or self._user_data.mark_of(row, self._session.log.url)

        def noted(text: str | None) -> None:
            if text is not None:
                marks.set_note(mark, text)
                self.draw()

        self._host.open(NoteScreen(mark), noted)

    def hand_over(self) -> None:
        """The marked events as Markdown, for who comes next."""
        from audit_tui.model.handover import handover
        from audit_tui.screens.handover import HandoverScreen

        now_ms = self._session.clock.now_ms()
        self._host.open(HandoverScreen(handover(self._user_data.marks.all(), now_ms=now_ms, title="Hand-over")))
