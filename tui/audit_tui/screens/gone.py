"""The events that only this console still has: the copies of what the log no longer holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Footer, Static

from audit_stream.display import counted, safe
from audit_stream.errors import AuditStreamError
from audit_tui.model.collect import bundle_of_copies
from audit_tui.model.cut_report import cut_lines
from audit_tui.model.cuts import Cut
from audit_tui.model.ring import Ring
from audit_tui.model.rows import Row
from audit_tui.model.view import View
from audit_tui.screens.closing import ClosesOnce
from audit_tui.session import Session
from audit_tui.storage.new_file import write_new
from audit_tui.widgets.event_table import EventTable

__all__ = ["GoneScreen"]


class GoneScreen(ClosesOnce[None]):
    """One cut after another, the newest first. `open_copy` shows an event, given the one before it if that is here."""

    DEFAULT_CSS = """
    GoneScreen #cut { height: auto; max-height: 11; padding: 0 1; background: $panel; }
    GoneScreen #cut Static { height: auto; }
    GoneScreen EventTable {
        & > .event-table--info, & > .event-table--notice, & > .event-table--warning, & > .event-table--critical {
            color: $foreground 60%; text-style: none;
        }
        &:ansi > .event-table--info, &:ansi > .event-table--notice { color: $foreground; text-style: dim; }
        &:ansi > .event-table--warning, &:ansi > .event-table--critical { color: $foreground; text-style: dim; }
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e", "export", "Export", id="export"),
        Binding("E", "bundle", "Evidence bundle", id="bundle"),
        Binding("n", "next", "Next cut", id="next-cut"),
        Binding("escape,q", "dismiss", "Close"),
    ]

    def __init__(self, session: Session, open_copy: Callable[[Row, Row | None], None], *, time_format: str) -> None:
        super().__init__()
        self._session = session
        self._open_copy = open_copy
        self._cuts = [cut for cut in reversed(session.cuts.all) if cut.settled and cut.rows and cut.returned_ms is None]
        self._place = 0
        self._table = EventTable(View(), now_ms=session.clock.now_ms, id="copies")
        self._table.time_format = time_format

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="cut", can_focus=False):
            yield Static("", id="about", markup=False)
        yield self._table
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self._table.focus()
        self._show()

    @property
    def cut(self) -> Cut:
        """The one that is shown."""
        return self._cuts[self._place]

    def _show(self) -> None:
        cut, several = self.cut, len(self._cuts)
        lines = cut_lines(cut, (), self._session.ring.head.event_id)
        counter = f" ({self._place + 1} of {several} cuts)" if several > 1 else ""
        title = f"No longer in the log, {counted(len(cut.rows), 'copy').replace('copys', 'copies')} here{counter}"
        self.query_one("#about", Static).update("\n".join([title, *lines]))
        self._table.view.begin(Ring())
        self._table.view.grow(cut.rows)
        self._table.view.pause()
        self._table.changed()
        self._table.go_to(cut.rows[0].event_id)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "next" or len(self._cuts) > 1

    def action_next(self) -> None:
        self._place = (self._place + 1) % len(self._cuts)
        self._show()

    def action_export(self) -> None:
        """Write the copies as JSON lines, as they were served."""
        cut = self.cut
        self._write(cut, "gone", ".jsonl", lambda: b"".join(row.raw + b"\n" for row in cut.rows))

    def action_bundle(self) -> None:
        """Write them as evidence: linked to the head that this console had seen, which anybody can check."""
        cut, session = self.cut, self._session
        self._write(
            cut,
            "evidence-gone",
            ".json",
            lambda: bundle_of_copies(
                cut,
                log=session.log.url,
                verdict=session.integrity.last_verdict,
                remembered=session.known_heads,
            ),
        )

    def _write(self, cut: Cut, what: str, suffix: str, body: Callable[[], bytes]) -> None:
        name = f"audit-stream-{what}-{cut.rows[0].event_id}-{cut.rows[-1].event_id}"

        async def write() -> None:
            try:
                path = await asyncio.to_thread(lambda: write_new(name, suffix, body()))
            except OSError as error:
                where = "the directory that the console was started in"
                self._say(f"{name} cannot be written to {where}: {error.strerror}", severity="error")
            except AuditStreamError as error:
                self._say(str(error), severity="error")
            else:
                self._session.cuts.saved(cut)
                self._say(f"{counted(len(cut.rows), 'event')} in {path}: check it with `audit-tui check {path.name}`")

        self.run_worker(write(), group="write", exclusive=True)

    def _say(self, text: str, *, severity: str = "information") -> None:
        self.notify(safe(text), severity="error" if severity == "error" else "information", markup=False, timeout=6)

    @on(EventTable.Opened)
    def _opened(self, message: EventTable.Opened) -> None:
        message.stop()
        before = next((row for row in self.cut.rows if row.event_id == message.row.event_id - 1), None)
        self._open_copy(message.row, before)

    @on(EventTable.StartWanted)
    def _start_wanted(self, message: EventTable.StartWanted) -> None:
        message.stop()
        self._table.go_to(self.cut.rows[0].event_id)

    @on(EventTable.LiveWanted)
    def _live_wanted(self, message: EventTable.LiveWanted) -> None:
        message.stop()
        self._table.go_to(self.cut.rows[-1].event_id)
