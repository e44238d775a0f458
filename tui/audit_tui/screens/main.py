"""The main screen: the live table and what belongs to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.events import Resize
from textual.screen import Screen
from textual.widgets import Input

from audit_tui.controllers.events import EventController
from audit_tui.controllers.filtering import FilterController
from audit_tui.controllers.finding import FindController
from audit_tui.controllers.history import HistoryController
from audit_tui.controllers.host import Host
from audit_tui.controllers.integrity import IntegrityController
from audit_tui.controllers.status import empty_text, search_of, status_parts
from audit_tui.log import Log
from audit_tui.model.badge import Badge
from audit_tui.model.columns import COLUMNS, TIME_FORMATS
from audit_tui.session import Session
from audit_tui.storage.session_state import DaemonState
from audit_tui.user_data import UserData
from audit_tui.widgets.activity_panel import ActivityPanel
from audit_tui.widgets.badge import BadgeWidget
from audit_tui.widgets.event_table import EventTable
from audit_tui.widgets.filter_bar import FilterBar
from audit_tui.widgets.find_bar import FindBar
from audit_tui.widgets.status_bar import StatusBar

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


class MainScreen(Screen[None]):
    """Shows one session, and drives it: it runs as long as this screen is there.

    `raise_alarm` is told of whatever is found broken. `daemons` gives the addresses to compare with, by name, and
    `open_log` what stands behind one.
    """

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
        # Before anything else sees the key: what is typed or pasted right after it belongs into the bar.
        Binding("slash", "filter", "Filter", id="filter", key_display="/", priority=True),
        Binding("i", "cell_filter(False)", "Only this", id="include", show=False),
        Binding("x", "cell_filter(True)", "Without this", id="exclude", show=False),
        Binding("w", "widen", "Widen", id="widen", show=False),
        Binding("F", "named_filters", "Named filters", id="named-filters", show=False),
        Binding("p", "activity", "Kinds & sources", id="activity"),
        Binding("f", "find", "Find", id="find", priority=True),  # as "filter"
        Binding("n", "find_next(1)", "Next match", id="find-next", show=False),
        Binding("N", "find_next(-1)", "Previous match", id="find-previous", show=False),
        Binding("space", "pause", "Pause", id="pause"),
        Binding("g", "go_to", "Go to", id="go-to"),
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

    def __init__(
        self,
        session: Session,
        state: DaemonState,
        user_data: UserData,
        *,
        raise_alarm: Callable[[Badge], None],
        daemons: Callable[[], dict[str, str]],
        open_log: Callable[[str], Awaitable[Log]],
    ) -> None:
        super().__init__()
        self.session = session
        self.table = table = EventTable(session.view, now_ms=session.clock.now_ms, id="events")
        self._filter_bar = FilterBar()
        self._panel = ActivityPanel(clock=session.clock.now_s)
        self._find_bar = FindBar()
        self._status = StatusBar()
        self._host = host = Host(self, self.show_change)
        self.history = HistoryController(session, table, host)
        self.filters = FilterController(session, table, self._filter_bar, self._panel, self.history, user_data, host)
        self._find = FindController(session, table, self._find_bar, host)
        self._events = EventController(session, table, self.filters, user_data, host)
        self._integrity = IntegrityController(
            session, table, user_data, host, open_copy=self._events.open_copy, daemons=daemons, open_log=open_log
        )
        self._name_actions()
        self._user_data = user_data
        self._raise_alarm = raise_alarm
        self._state = state
        self._ticks = 0
        self._theme = ""
        self._dirty = True
        self._undrawn = 0
        if state.time_format in TIME_FORMATS:
            self.table.time_format = state.time_format
        self.table.hidden = frozenset(COLUMNS) - frozenset(state.columns) if state.columns else frozenset()

    def _name_actions(self) -> None:
        """The keys that controllers handle: Textual looks up on the screen what a binding names."""
        self.action_pause = self.history.pause
        self.action_go_to = self.history.go_to
        self.action_filter = self.filters.edit
        self.action_cell_filter = self.filters.by_cell
        self.action_widen = self.filters.widen
        self.action_named_filters = self.filters.choose_named
        self.action_activity = self.filters.toggle_panel
        self.action_find = self._find.open
        self.action_find_next = self._find.go_on
        self.action_mark = self._events.toggle_mark
        self.action_note = self._events.write_note
        self.action_handover = self._events.hand_over
        self.action_export = self._events.export
        self.action_bundle = self._events.bundle
        self.action_copy = self._events.copy
        self.action_copy_curl = self._events.copy_curl
        self.action_integrity = self._integrity.open
        self.action_verify = self.session.verify_now
        self.action_acknowledge = self._integrity.acknowledge
        self.action_accept = self._integrity.accept
        self.action_compare = self._integrity.compare

    def compose(self) -> ComposeResult:
        yield self._filter_bar
        with Horizontal(id="body"):
            yield self.table
            yield self._panel
        yield self._find_bar
        yield self._status

    def on_mount(self) -> None:
        self.session.on_change = self._mark_dirty
        self._panel.display = bool(self._state.layout.get("panel"))
        self.table.focus()
        self._events.draw_marks()
        self.run_worker(self._begin(), group="session", exit_on_error=True)
        self.set_interval(_TICK_S, self._tick)
        self.show_change()

    async def _begin(self) -> None:
        self._filter_bar.history = list(self._state.history)
        self.run_worker(self._filter_bar.warm_up(), group="warm-up")
        if self._state.filter:
            self.filters.apply(self._state.filter)
        await self.session.run()

    def on_screen_resume(self) -> None:
        """Back from another screen: draw what happened meanwhile."""
        self._dirty = True

    def on_resize(self, event: Resize) -> None:
        self._fit_panel(event.size.width)

    def on_descendant_focus(self) -> None:
        """Whoever is in the panel reads its numbers, all of them."""
        self._fit_panel(self.size.width)

    def _fit_panel(self, width: int) -> None:
        panel = self._panel
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
        if self._dirty:
            self.filters.draw_panel()
        if came or self._dirty:
            self._dirty = False
            self.table.changed()
            self.show_change()
        elif slow:
            self.show_change()
        if slow:
            self._slow_tick()

    def _slow_tick(self) -> None:
        for alarm in self.session.integrity.new_alerts():
            self._raise_alarm(alarm)
        while self.session.notices:
            self._host.say(self.session.notices.popleft(), severity="warning")
        for problem in self._user_data.new_problems():
            self._host.say(problem, severity="warning")
        if self.table.time_format == "relative" and self.is_current:
            self.table.refresh()
        self.run_worker(self._save(), group="disk")

    async def _save(self) -> None:
        """Keep what has changed, so that a window that is closed or a machine that fails takes little away."""
        user_data, state = self._user_data, self.left_as()
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
        session, cursor = self.session, self.table.cursor
        search = search_of(session, cursor)
        self.table.show_empty(empty_text(session, search))
        self._filter_bar.show_search(search)
        self._status.show(status_parts(session, cursor, finding_at=self._find.at))
        self._status.show_badge(session.integrity.badge(session.clock.now_s()))
        if self._ticks % _SLOW_EVERY == 0:
            self.filters.draw_panel()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While somebody types, the keys of the two bars are letters like others."""
        return not (action in ("filter", "find") and isinstance(self.focused, Input))

    # Keys of its own

    def action_time(self) -> None:
        self._host.say(f"times: {self.table.next_time_format()}")

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
        search = search_of(self.session, self.table.cursor)
        if self._find.at or (search is not None and not search.halted):
            self.history.stop_searching()
            return
        self.table.unselect()
        self.table.finder = None
        self.table.redraw()
        self.table.focus()

    # What the widgets say

    @on(EventTable.Moved)
    def _moved(self) -> None:
        self.show_change()

    @on(EventTable.Opened)
    def _opened(self, message: EventTable.Opened) -> None:
        if self.is_current:  # else a second Enter came before the first had opened it
            self._events.open(message.row)

    @on(EventTable.GapOpened)
    def _gap_opened(self, message: EventTable.GapOpened) -> None:
        self.history.open_gap(message.gap)

    @on(EventTable.OlderWanted)
    def _older_wanted(self) -> None:
        self.history.load_older()

    @on(EventTable.NewerWanted)
    def _newer_wanted(self) -> None:
        self.history.load_newer()

    @on(EventTable.StartWanted)
    def _start_wanted(self) -> None:
        self.history.to_start()

    @on(EventTable.LiveWanted)
    def _live_wanted(self) -> None:
        self.history.to_live()

    @on(FilterBar.Applied)
    def _filter_applied(self, message: FilterBar.Applied) -> None:
        self.filters.show(message.text, message.filter)

    @on(ActivityPanel.Chosen)
    def _chosen(self, message: ActivityPanel.Chosen) -> None:
        self.filters.choose(message)

    @on(ActivityPanel.Excluded)
    def _excluded(self, message: ActivityPanel.Excluded) -> None:
        self.filters.exclude(message.dimension, message.name)

    @on(FindBar.Changed)
    def _find_changed(self, message: FindBar.Changed) -> None:
        self._find.find(message.text)

    @on(FindBar.Cancelled)
    def _find_cancelled(self) -> None:
        self._find.find("")

    @on(BadgeWidget.Opened)
    def _badge_opened(self) -> None:
        self._integrity.open()

    # How it is left

    def left_as(self) -> DaemonState:
        """How this daemon is left."""
        applied = self._filter_bar.history if self.is_mounted else self._state.history
        return DaemonState(
            filter=self.session.view.filter_text,
            history=tuple(applied[-_KEPT_FILTERS:]),
            columns=tuple(name for name in COLUMNS if name not in self.table.hidden),
            layout={"panel": bool(self._panel.display)} if self.is_mounted else {},
            time_format=self.table.time_format,
            unacknowledged=self.session.integrity.unacknowledged,
        )
