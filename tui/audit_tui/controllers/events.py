"""What is done with events: they are opened, marked, written about, exported, bundled, copied."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from audit_stream.display import counted
from audit_tui.controllers.filtering import FilterController
from audit_tui.controllers.host import Host
from audit_tui.model.rows import Row
from audit_tui.session import Session
from audit_tui.storage.new_file import write_new
from audit_tui.user_data import UserData
from audit_tui.widgets.event_table import EventTable

__all__ = ["EventController"]


@dataclass(eq=False)
class EventController:
    """With an event that is named, or else the one under the cursor or those that are selected."""

    session: Session
    table: EventTable
    filters: FilterController
    user_data: UserData
    host: Host

    def open(self, row: Row) -> None:
        """The whole event."""
        self._open(row, self.session.ring.find(row.event_id - 1), self.session.integrity.said_of)

    def open_copy(self, row: Row, before: Row | None) -> None:
        """A whole event that only this console has."""

        def said_of(event_id: int) -> str:
            if event_id == row.event_id:
                return "no longer in the log: this is the copy that was received here"
            return self.session.integrity.said_of(event_id)

        self._open(row, before, said_of)

    def _open(self, row: Row, before: Row | None, said_of: Callable[[int], str]) -> None:
        from audit_tui.screens.detail import DetailScreen

        session, later = self.session, self.host.later
        self.host.open(
            DetailScreen(
                row,
                before,
                url=session.log.url,
                log=session.log,
                kinds=session.kinds,
                on_read=session.observe,
                said_of=said_of,
                on_filter=later(self.filters.add_term),
                on_mark=later(self.toggle_mark),
                on_note=later(self.write_note),
            )
        )

    # Marks

    def draw_marks(self) -> None:
        """The table's stars."""
        self.table.marked = frozenset(mark.hash for mark in self.user_data.marks.all())
        self.table.redraw()

    def toggle_mark(self, row: Row | None = None) -> None:
        """Mark an event, or take the mark away."""
        row = row or self.table.cursor_row
        if row is not None:
            marked = self.user_data.marks.toggle(self.user_data.mark_of(row, self.session.log.url))
            self.host.say(f"#{row.event_id} {'marked' if marked else 'no longer marked'}")
            self.draw_marks()

    def write_note(self, row: Row | None = None) -> None:
        """Write a note on an event."""
        from audit_tui.screens.note import NoteScreen

        row = row or self.table.cursor_row
        if row is None:
            return
        marks = self.user_data.marks
        mark = marks.get(row.hash) or self.user_data.mark_of(row, self.session.log.url)

        def noted(text: str | None) -> None:
            if text is not None:
                marks.set_note(mark, text)
                self.draw_marks()

        self.host.open(NoteScreen(mark), noted)

    def hand_over(self) -> None:
        """The marked events as Markdown, for who comes next."""
        from audit_tui.model.handover import handover
        from audit_tui.screens.handover import HandoverScreen

        now_ms = self.session.clock.now_ms()
        self.host.open(HandoverScreen(handover(self.user_data.marks.all(), now_ms=now_ms, title="Hand-over")))

    # Evidence

    def export(self) -> None:
        """Write what passes the filter to a file."""
        from audit_stream.client import Selection
        from audit_tui.screens.export import ExportScreen

        view = self.session.view
        self.host.open(ExportScreen(self.session.log, Selection(q=view.query), view.filter_text or "all events"))

    def bundle(self) -> None:
        """Write the selected events, their links to a known head, and the verdict, as one file."""
        from audit_tui.model.collect import collect

        rows, session = self.table.cursor.selected, self.session
        if not rows:
            return
        name = f"audit-stream-evidence-{rows[0].event_id}-{rows[-1].event_id}"

        async def write() -> None:
            body = await collect(
                session.log,
                [row.event_id for row in rows],
                head=session.integrity.verified_head,
                on_progress=lambda done, total: None,
                remembered=session.known_heads,
            )
            try:
                path = await asyncio.to_thread(write_new, name, ".json", body)
            except OSError as error:
                where = "the directory that the console was started in"
                self.host.say(f"{name} cannot be written to {where}: {error.strerror}", severity="error")
            else:
                checked = f"check it with `audit-tui check {path.name}`"
                self.host.say(f"{counted(len(rows), 'event')} in {path}: {checked}")

        self.host.read(write, group="bundle")

    def copy(self) -> None:
        """Copy the selected events as they were served."""
        rows = self.table.cursor.selected
        if rows:
            text = "\n".join(row.raw.decode("utf-8", "backslashreplace") for row in rows)
            self.host.copy(text, counted(len(rows), "event"))

    def copy_curl(self) -> None:
        """Copy a curl line for the event under the cursor."""
        from audit_tui.model.detail import curl_line

        row = self.table.cursor_row
        if row is None:
            return
        line = curl_line(self.session.log.url, row.event_id)
        if line:
            self.host.copy(line, "a curl line")
        else:
            self.host.say("a file has no address that curl could ask", severity="warning")
