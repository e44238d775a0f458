"""The main screen's way to everything else: detail, integrity, marks, evidence, export, other daemons."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from textual import on
from textual.binding import Binding

from audit_stream.chain import Head
from audit_stream.display import counted
from audit_tui.model.rows import Row
from audit_tui.screens.base import MainPart
from audit_tui.screens.copying import copy
from audit_tui.storage.new_file import write_new
from audit_tui.widgets.event_table import EventTable

__all__ = ["OpeningKeys"]


class OpeningKeys(MainPart):
    """What else there is."""

    BINDINGS = [  # noqa: RUF012 - Textual's own convention
        Binding("b", "integrity", "Integrity", id="integrity"),
        Binding("v", "verify", "Verify now", id="verify", show=False),
        Binding("a", "acknowledge", "Acknowledge: silence the alarm", id="acknowledge", show=False),
        Binding("A", "accept", "Accept the history that there is now", id="accept", show=False),
        Binding("m", "mark", "Mark", id="mark", show=False),
        Binding("M", "note", "Note", id="note", show=False),
        Binding("D", "handover", "Hand-over", id="handover", show=False),
        Binding("e", "export", "Export", id="export", show=False),
        Binding("E", "bundle", "Evidence bundle", id="bundle", show=False),
        Binding("c", "copy", "Copy event", id="copy", show=False),
        Binding("C", "copy_curl", "Copy curl", id="copy-curl", show=False),
        Binding("equals_sign", "compare", "Compare daemons", id="compare", show=False, key_display="="),
    ]

    @on(EventTable.Opened)
    def _event_table_opened(self, message: EventTable.Opened) -> None:
        if self.is_current:  # else a second Enter came before the first had opened it
            self.open_detail(message.row)

    def open_detail(self, row: Row) -> None:
        """The whole event."""
        self._open_detail(row, self.session.ring.find(row.event_id - 1), self.session.integrity.said_of)

    def _open_detail(self, row: Row, before: Row | None, said_of: Callable[[int], str]) -> None:
        from audit_tui.screens.detail import DetailScreen

        session = self.session
        self.app.push_screen(
            DetailScreen(
                row,
                before,
                url=session.log.url,
                log=session.log,
                kinds=session.kinds,
                on_read=session.observe,
                said_of=said_of,
                on_filter=self.later(self.add_term),
                on_mark=self.later(self.toggle_mark),
                on_note=self.later(self.write_note),
            )
        )

    def action_integrity(self) -> None:
        """Verdicts, remembered heads, and what is around a break."""
        from audit_tui.screens.integrity import IntegrityScreen

        session, user_data = self.session, self.console_app.user_data

        async def open_() -> None:
            heads = await user_data.known_heads(session.log.url)
            accepted = await user_data.accepted(session.log.url)
            await self.app.push_screen(
                IntegrityScreen(
                    session.integrity,
                    heads,
                    session.pages.around,
                    accepted=accepted,
                    stored=session.ring.find,
                    cuts=session.cuts,
                    head_id=lambda: session.ring.head.event_id,
                    log=session.log.url,
                    now_s=session.clock.now_s,
                    now_ms=session.clock.now_ms,
                    verify=self.action_verify,
                    acknowledge=self.action_acknowledge,
                    accept=self.later(self.action_accept),
                    show_gone=self.later(self.open_gone),
                )
            )

        self.reading(open_, group="open")

    def open_gone(self) -> None:
        """The copies of what the log no longer holds."""
        from audit_tui.screens.gone import GoneScreen

        session = self.session
        if not session.cuts.rows:
            self.say("no copy is here of an event that the log no longer holds")
            return
        self.app.push_screen(GoneScreen(session, self.open_copy, time_format=self.table.time_format))

    def open_copy(self, row: Row, before: Row | None) -> None:
        """A whole event that only this console has."""

        def said_of(event_id: int) -> str:
            if event_id == row.event_id:
                return "no longer in the log: this is the copy that was received here"
            return self.session.integrity.said_of(event_id)

        self._open_detail(row, before, said_of)

    def action_verify(self) -> None:
        """Ask for a verdict now."""
        self.session.verify_now()

    def action_acknowledge(self) -> None:
        """Take note of the red badge, which silences it; it stays red as long as what it says is so."""
        session = self.session
        if session.integrity.acknowledge(session.clock.now_s()) and session.integrity.is_rewritten:
            self.say("acknowledged, not accepted: the log is compared with what it was until A accepts what it is now")
        self.show_change()

    def action_accept(self) -> None:
        """Ask whether the history that there is now is to be taken for the true one, and do so."""
        from audit_tui.screens.accept import AcceptScreen

        session, user_data = self.session, self.console_app.user_data
        rewritten = session.integrity.rewritten
        if rewritten is None:
            self.say("there is nothing to accept: the log holds what this console remembers of it")
            return

        shown: list[Head] = []

        async def accept() -> None:
            await user_data.accept(session.log.url, await session.accept_history(shown[-1]))
            self.say("accepted: the log is compared with what it is now")
            self.show_change()

        def answered(accepted: bool | None) -> None:
            if accepted:
                self.reading(accept, group="accept")

        async def ask() -> None:
            head = (await session.log.stats()).head
            shown.append(head)
            heads = await user_data.known_heads(session.log.url)
            what = (session.integrity.rewritten or rewritten).text
            await self.app.push_screen(AcceptScreen(what, head, heads, session.cuts), answered)

        self.reading(ask, group="accept")

    # Marks

    def action_mark(self) -> None:
        """Mark the event under the cursor, or take the mark away."""
        row = self.table.cursor_row
        if row is not None:
            self.toggle_mark(row)

    def toggle_mark(self, row: Row) -> None:
        """Mark an event, or take the mark away."""
        user_data = self.console_app.user_data
        marked = user_data.marks.toggle(user_data.mark_of(row, self.session.log.url))
        self.say(f"#{row.event_id} {'marked' if marked else 'no longer marked'}")
        self.console_app.marks_changed()

    def action_note(self) -> None:
        """Write a note on the event under the cursor."""
        row = self.table.cursor_row
        if row is not None:
            self.write_note(row)

    def write_note(self, row: Row) -> None:
        """Write a note on an event."""
        from audit_tui.screens.note import NoteScreen

        user_data = self.console_app.user_data
        mark = user_data.marks.get(row.hash) or user_data.mark_of(row, self.session.log.url)

        def noted(text: str | None) -> None:
            if text is not None:
                user_data.marks.set_note(mark, text)
                self.console_app.marks_changed()

        self.app.push_screen(NoteScreen(mark), noted)

    def action_handover(self) -> None:
        """The marked events as Markdown, for who comes next."""
        from audit_tui.model.handover import handover
        from audit_tui.screens.handover import HandoverScreen

        now_ms = self.session.clock.now_ms()
        text = handover(self.console_app.user_data.marks.all(), now_ms=now_ms, title="Hand-over")
        self.app.push_screen(HandoverScreen(text))

    # Evidence

    def action_export(self) -> None:
        """Write what passes the filter to a file."""
        from audit_stream.client import Selection
        from audit_tui.screens.export import ExportScreen

        text = self.session.view.filter_text
        self.app.push_screen(ExportScreen(self.session.log, Selection(q=self.session.view.query), text or "all events"))

    def action_bundle(self) -> None:
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
                self.say(f"{name} cannot be written to {where}: {error.strerror}", severity="error")
            else:
                self.say(f"{counted(len(rows), 'event')} in {path}: check it with `audit-tui check {path.name}`")

        self.reading(write, group="bundle")

    def action_copy(self) -> None:
        """Copy the selected events as they were served."""
        rows = self.table.cursor.selected
        if rows:
            text = "\n".join(row.raw.decode("utf-8", "backslashreplace") for row in rows)
            self.copy_text(text, f"{len(rows)} event{'s' * (len(rows) > 1)}")

    def action_copy_curl(self) -> None:
        """Copy a curl line for the event under the cursor."""
        from audit_tui.model.detail import curl_line

        row = self.table.cursor_row
        if row is not None:
            self._copy_curl(curl_line(self.session.log.url, row.event_id))

    def _copy_curl(self, line: str | None) -> None:
        if not line:
            self.say("a file has no address that curl could ask", severity="warning")
        else:
            self.copy_text(line, "a curl line")

    def copy_text(self, text: str, what: str) -> None:
        """To the clipboard of the terminal (OSC 52), which may refuse what is large."""
        self.say(f"copied {what}{copy(self.app, text)}")

    def action_compare(self) -> None:
        """Where this daemon's history and another's part."""
        from audit_tui.screens.compare import CompareScreen
        from audit_tui.screens.profiles import ProfilesScreen

        console, session = self.console_app, self.session

        async def compare(url: str) -> None:
            other = await console.open_log(url)
            self.app.push_screen(CompareScreen(session.log, other))

        def chosen(url: str | None) -> None:
            if url is not None:
                self.reading(lambda: compare(url), group="open")

        self.app.push_screen(ProfilesScreen(console.known_daemons(), title="Compare with"), chosen)
