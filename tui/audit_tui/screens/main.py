"""The main screen: the live table and what belongs to it."""

from __future__ import annotations

import asyncio

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.events import Resize
from textual.widgets import Input

from audit_stream.display import safe
from audit_stream.kinds import Severity
from audit_tui.log import is_address
from audit_tui.model.columns import COLUMNS, TIME_FORMATS
from audit_tui.model.connection import ConnectionState
from audit_tui.model.searching import Searching, searching
from audit_tui.screens.filtering import FilterKeys
from audit_tui.screens.finding import FindKeys
from audit_tui.screens.history import HistoryKeys
from audit_tui.screens.opening import OpeningKeys
from audit_tui.session import Session
from audit_tui.storage.session_state import DaemonState
from audit_tui.widgets.activity_panel import ActivityPanel
from audit_tui.widgets.badge import BadgeWidget
from audit_tui.widgets.event_table import EventTable
from audit_tui.widgets.filter_bar import FilterBar
from audit_tui.widgets.find_bar import FindBar
from audit_tui.widgets.status_bar import StatusBar, StatusParts

__all__ = ["MainScreen"]

_TICK_S = 0.1
"""Events are taken in ten times a second, so that the cost of the screen does not depend on how many there are."""

_MANY = 50
"""Fewer events than this are drawn at every second tick: half the cost of the screen on a quiet stream."""

_KEPT_FILTERS = 20
"""Of those that were applied, for the next session."""

_PANEL_CELLS = 60
"""The panel with all its columns: names that are whole, the share, the rate, two minutes of sparkline or more."""
_SLOW_EVERY = 10
"""Ticks between two looks at what changes by itself: ages, rates, the panel."""


class MainScreen(HistoryKeys, FindKeys, FilterKeys, OpeningKeys):
    """Shows one session, and drives it: it runs as long as this screen is there."""

    BINDINGS = [  # noqa: RUF012 - Textual's own convention
        Binding("t", "time", "Time format", id="time", show=False),
        Binding("o", "columns", "Columns", id="columns", show=False),
        Binding("escape", "escape", "Back to the table", show=False),
    ]

    DEFAULT_CSS = """
    MainScreen {
        layout: vertical;
        & > #body { height: 1fr; }
        & ActivityPanel { width: 38; display: none; }
    }
    """

    def __init__(self, session: Session, state: DaemonState) -> None:
        super().__init__()
        self.session = session
        self.table = EventTable(session.view, now_ms=session.clock.now_ms, id="events")
        self._state = state
        self._ticks = 0
        self._theme = ""
        self._dirty = True
        self._undrawn = 0
        if state.time_format in TIME_FORMATS:
            self.table.time_format = state.time_format
        self.table.hidden = frozenset(COLUMNS) - frozenset(state.columns) if state.columns else frozenset()

    def compose(self) -> ComposeResult:
        """The bar for the filter, the table with the panel, find, the status."""
        yield FilterBar()
        with Horizontal(id="body"):
            yield self.table
            yield ActivityPanel(clock=self.session.clock.now_s)
        yield FindBar()
        yield StatusBar()

    def on_mount(self) -> None:
        """Begin."""
        self.session.on_change = self._mark_dirty
        self.query_one(ActivityPanel).display = bool(self._state.layout.get("panel"))
        self.table.focus()
        self.console_app.marks_changed()
        self.run_worker(self._begin(), group="session", exit_on_error=True)
        self.set_interval(_TICK_S, self._tick)
        self.show_change()

    async def _begin(self) -> None:
        self.query_one(FilterBar).history = list(self._state.history)
        self.run_worker(self.query_one(FilterBar).warm_up(), group="warm-up")
        if self._state.filter:
            self.apply_filter(self._state.filter)
        await self.session.run()

    def on_screen_resume(self) -> None:
        """Back from another screen: draw what happened meanwhile."""
        self._dirty = True

    def on_resize(self, event: Resize) -> None:
        """The panel leaves the table room for the payloads."""
        self._fit_panel(event.size.width)

    def on_descendant_focus(self) -> None:
        """Whoever is in the panel reads its numbers, all of them."""
        self._fit_panel(self.size.width)

    def _fit_panel(self, width: int) -> None:
        panel = self.query_one(ActivityPanel)
        usual = _PANEL_CELLS if width >= 150 else 54 if width >= 130 else 38 if width >= 100 else 30
        panel.styles.width = max(usual, min(_PANEL_CELLS, width - 20)) if panel.has_focus else usual

    # The timer

    def _mark_dirty(self) -> None:
        self._dirty = True
        self.table.changed()  # at once, so that the cursor is never where the next key does not expect it

    def _tick(self) -> None:
        self._undrawn += self.session.drain()
        self._ticks += 1
        slow = self._ticks % _SLOW_EVERY == 0
        came = self._undrawn if self._undrawn >= _MANY or self._ticks % 2 == 0 else 0
        self._undrawn -= came
        if came or self._dirty:
            self._dirty = False
            self.table.changed()
        if came or slow or self._dirty:
            self.show_change()
        if slow:
            self._slow_tick()

    def _slow_tick(self) -> None:
        self.console_app.leave_if_alone()
        for alarm in self.session.integrity.new_alerts():
            self.console_app.raise_alarm(alarm)
        while self.session.notices:
            self.say(self.session.notices.popleft(), severity="warning")
        for problem in self.console_app.user_data.new_problems():
            self.say(problem, severity="warning")
        if self.table.time_format == "relative" and self.is_current:
            self.table.refresh()
        self.run_worker(self._save(), group="disk")

    async def _save(self) -> None:
        """Keep what has changed, so that a window that is closed or a machine that fails takes little away."""
        user_data, state = self.console_app.user_data, self.left_as()
        await user_data.save_if_due()
        if (state, self.app.theme) != (self._state, self._theme) and self.session.stats is not None:
            self._state, self._theme = state, self.app.theme
            await asyncio.to_thread(
                user_data.save_session, self.session.log.url, state, theme=self.app.theme, answered=True
            )

    def show_change(self) -> None:
        """The status, the badge, and the panel if it is open."""
        if not self.is_mounted:
            return
        now_s = self.session.clock.now_s()
        session = self.session
        self.table.show_empty(self._empty_text())
        self.query_one(FilterBar).show_search(self._searching)
        status = self.query_one(StatusBar)
        status.show(self._status_parts(now_s))
        status.show_badge(session.integrity.badge(now_s))
        if self._ticks % _SLOW_EVERY == 0:
            self.show_activity()

    def show_activity(self) -> None:
        """The panel, if it is open."""
        panel = self.query_one(ActivityPanel)
        if panel.display:
            activity, now_s = self.session.activity, self.session.clock.now_s()
            panel.show(activity.ranked(now_s, "kind"), activity.ranked(now_s, "source"))

    def _status_parts(self, now_s: float) -> StatusParts:
        connection = self.session.connection
        style = {
            ConnectionState.LIVE: "ok",
            ConnectionState.CATCHING_UP: "warn",
            ConnectionState.CONNECTING: "warn",
        }.get(connection.state, "bad")
        text = connection.text(now_s)
        if connection.state is ConnectionState.LIVE and not is_address(self.session.log.url):
            text = "file"
        if connection.state is ConnectionState.RETRYING and connection.reason:
            text = f"{text}: {safe(connection.reason)}"
        return StatusParts(
            daemon=safe(self.session.log.url.removeprefix("http://")),
            connection=text,
            connection_style=style,
            rate_per_s=self.session.activity.rate_per_s(now_s),
            delay_ms=self.session.delay_ms,
            shown=self._shown_text(),
        )

    def _shown_text(self) -> str:
        """Paused and how much came since, and what a filter hides."""
        view, ring = self.session.view, self.session.ring
        parts = []
        if not view.following:
            worst = f", worst {view.worst.label}" if view.waiting and view.worst > Severity.INFO else ""
            missed = f" and {view.missed:,} missed" if view.missed else ""
            parts.append(f"PAUSED +{view.waiting:,} new{missed}{worst} (End: live)")
        if selected := self.table.cursor.selected_count:
            parts.append(f"{selected:,} selected")
        if self.finding_at:
            parts.append(f"finding, at #{self.finding_at:,} (Esc: stop)")
        if view.filtered:
            checked = ring.rows and view.low >= max(ring.rows[0].event_id, ring.linked_from)
            hidden = "the hidden ones checked" if checked else "the hidden ones not all checked"
            stats = self.session.stats
            of_all = "" if stats is not None and stats.count < stats.head.event_id else f" of {view.looked_at:,}"
            parts.append(f"{view.row_count:,}{of_all} shown, {hidden}")  # of a part it is not known how many it hides
        else:
            parts.append(f"{ring.received:,} received")
        return " · ".join(parts)

    @property
    def _searching(self) -> Searching | None:
        pages = self.session.pages
        cursor = self.table.cursor
        return searching(self.session.view, cursor, searched_to=pages.searched_to, waits_for=pages.waits_for)

    def _empty_text(self) -> str:
        connection, view = self.session.connection, self.session.view
        if connection.state in (ConnectionState.RETRYING, ConnectionState.REFUSED):
            return safe(connection.reason)
        if connection.state is ConnectionState.CONNECTING:
            return f"connecting to {safe(self.session.log.url)} …"
        if not view.filtered:
            return "the log is empty: events appear here as they come"
        if (search := self._searching) is not None:
            return f"no event passes the filter so far: {search.text}"
        return "no event passes the filter: w takes its last term away"

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While somebody types, the keys of the two bars are letters like others."""
        return not (action in ("filter", "find") and isinstance(self.focused, Input))

    # Keys of its own

    def action_time(self) -> None:
        """Local, UTC, relative, or date and time."""
        self.say(f"times: {self.table.next_time_format()}")

    def action_columns(self) -> None:
        """Hide the column under the cursor; on the summary, show all again."""
        name = self.table.cursor_column
        if name == "summary" or name in self.table.hidden:
            self.table.hidden = frozenset()
        else:
            self.table.action_cell(1)  # first: it goes on from a column that is shown
            self.table.hidden = self.table.hidden | {name}
        self.table.redraw()

    def action_escape(self) -> None:
        """End a search through the history; else what was selected or marked by find is not any more."""
        search = self._searching
        if self.finding_at or (search is not None and not search.halted):
            self.stop_searching()
            return
        self.table.unselect()
        self.table.finder = None
        self.table.redraw()
        self.table.focus()

    @on(EventTable.Moved)
    def _moved(self) -> None:
        self.show_change()

    @on(BadgeWidget.Opened)
    def _badge_widget_opened(self, message: BadgeWidget.Opened) -> None:
        self.action_integrity()

    def left_as(self) -> DaemonState:
        """How this daemon is left."""
        applied = self.query_one(FilterBar).history if self.is_mounted else self._state.history
        return DaemonState(
            filter=self.session.view.filter_text,
            history=tuple(applied[-_KEPT_FILTERS:]),
            columns=tuple(name for name in COLUMNS if name not in self.table.hidden),
            layout={"panel": bool(self.query_one(ActivityPanel).display)} if self.is_mounted else {},
            time_format=self.table.time_format,
            unacknowledged=self.session.integrity.unacknowledged,
        )
