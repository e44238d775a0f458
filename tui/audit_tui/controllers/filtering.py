"""Filters: the bar, the cell under the cursor, the panel of kinds and sources, named ones."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from audit_tui.controllers.history import HistoryController
from audit_tui.controllers.host import Host
from audit_tui.model.passing import everything, passes
from audit_tui.model.rows import Row
from audit_tui.session import Session
from audit_tui.user_data import UserData
from audit_tui.widgets.activity_panel import ActivityPanel
from audit_tui.widgets.event_table import EventTable
from audit_tui.widgets.filter_bar import FilterBar

if TYPE_CHECKING:
    from audit_stream.filters import Filter

__all__ = ["FilterController"]

_OFFERED_ROWS = 200
"""Of which the payload's fields are offered."""
_PAINT_S = 0.03
"""For the first rows to be painted before the rest of the ring takes the loop. Without it one wait in ten was 90 ms."""


@dataclass(eq=False)
class FilterController:
    """Which events one sees. The filter is always in the bar, and stays whatever the connection does."""

    session: Session
    table: EventTable
    bar: FilterBar
    panel: ActivityPanel
    history: HistoryController
    user_data: UserData
    host: Host

    def edit(self) -> None:
        """Edit the filter."""
        from audit_tui.model.completion import payload_paths

        bar = self.bar
        bar.kinds = self.session.kinds
        activity = self.session.activity
        fields: set[str] = set()
        # Of the newest, also what the present filter hides, and of those that one looks at.
        for row in [
            *islice(reversed(self.session.ring.rows), _OFFERED_ROWS),
            *islice(reversed(self.session.view.items), _OFFERED_ROWS),
        ]:
            if isinstance(row, Row):
                fields.update(payload_paths(row.payload))
        now_s = self.session.clock.now_s()
        bar.offer(
            [entry.name for entry in activity.ranked(now_s, "kind")],
            [entry.name for entry in activity.ranked(now_s, "source")],
            sorted(fields),
        )
        bar.edit(self.table)

    def by_cell(self, exclude: bool) -> None:
        """Filter by the cell under the cursor, or filter it out."""
        from audit_tui.model.filter_text import cell_term, negated

        row = self.table.cursor_row
        if row is None:
            return
        term = cell_term(self.table.cursor_column, row)
        if not term:
            self.host.say("choose a cell with the left and right keys: a payload's fields are in the detail, by Enter")
            return
        self.add_term(negated(term) if exclude else term)

    def add_term(self, term: str) -> None:
        """Filter by one term more."""
        from audit_tui.model.filter_text import with_term

        self.apply(with_term(self.session.view.filter_text, term))

    def widen(self) -> None:
        """Take the last term of the filter away."""
        from audit_tui.model.filter_text import without_last_term

        self.apply(without_last_term(self.session.view.filter_text))

    def choose_named(self) -> None:
        """Choose, save or remove a filter that has a name."""
        from audit_tui.screens.named_filters import NamedFiltersScreen

        def chosen(text: str | None) -> None:
            if text is not None:
                self.apply(text)

        user_data = self.user_data
        self.host.open(
            NamedFiltersScreen(
                user_data.named_filters(self.session.log.url),
                self.session.view.filter_text,
                save=lambda name, text: user_data.save_filter(self.session.log.url, name, text),
            ),
            chosen,
        )

    def toggle_panel(self) -> None:
        """Show or hide the kinds and sources."""
        panel = self.panel
        panel.display = not panel.display
        if panel.display:
            # At once, not at the next look: keys that were typed right after it mean what is in it.
            self.draw_panel()
        elif panel.has_focus:
            self.table.focus()

    def draw_panel(self) -> None:
        """The kinds and sources, if they are open."""
        if self.panel.display:
            activity, now_s = self.session.activity, self.session.clock.now_s()
            self.panel.show(activity.ranked(now_s, "kind"), activity.ranked(now_s, "source"))

    def choose(self, chosen: ActivityPanel.Chosen) -> None:
        """Filter by what is chosen in the panel."""
        from audit_tui.model.filter_text import choose

        self.apply(choose(self.session.view.filter_text, chosen.kinds, chosen.sources, cleared=chosen.cleared))

    def exclude(self, dimension: str, name: str) -> None:
        """Leave a kind or source out, or no longer."""
        from audit_tui.model.filter_text import toggle_excluded

        self.apply(toggle_excluded(self.session.view.filter_text, dimension, name))

    def apply(self, text: str) -> None:
        """Show what passes; a text that is no filter is said to be none, and changes nothing."""
        from audit_stream.filters import FilterError
        from audit_tui.model.filter_text import parsed

        filter_ = parsed(text, self.session.clock.now_ms(), self.session.kinds)
        if isinstance(filter_, FilterError):
            self.host.say(f"{text}: {filter_}", severity="error")
            return
        self.show(text, filter_)

    def show(self, text: str, filter_: Filter) -> None:
        """Show what passes the filter, which is what `text` says."""
        from audit_tui.model.filter_text import chosen

        session = self.session
        view = session.view
        is_filtered = bool(filter_.terms)
        keep = self.table.cursor_row if not view.following else None
        self.host.cancel("older", "newer")  # a log that is still searching for the former filter need not go on
        view.filter_by(
            session.ring,
            passes(filter_) if is_filtered else everything,
            text=text.strip(),
            query=str(filter_),
            filtered=is_filtered,
        )
        self.bar.set_applied(view.filter_text)
        self.panel.set_choice(*chosen(view.filter_text))

        async def fill() -> None:
            await self.history.look_through_memory(first_pause_s=_PAINT_S)
            if keep is not None:  # who had paused stays about where they were, under the new filter
                if keep.event_id < view.low:
                    await session.pages.show_around(keep.event_id)
                    self.table.changed()
                self.table.go_to(keep.event_id)
            self.host.show_change()

        self.host.read(fill, group="place")
