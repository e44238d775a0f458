"""The main screen's filters: the bar, the cell under the cursor, the panel, named ones."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from textual import on
from textual.binding import Binding

from audit_tui.model.passing import everything, passes
from audit_tui.model.rows import Row
from audit_tui.screens.base import MainPart
from audit_tui.widgets.activity_panel import ActivityPanel
from audit_tui.widgets.filter_bar import FilterBar

if TYPE_CHECKING:
    from audit_stream.filters import Filter

__all__ = ["FilterKeys"]

_OFFERED_ROWS = 200
"""Of which the payload's fields are offered."""
_PAINT_S = 0.03
"""For the first rows to be painted before the rest of the ring takes the loop. Without it one wait in ten was 90 ms."""


class FilterKeys(MainPart):
    """Which events one sees. The filter is always in the bar, and stays whatever the connection does."""

    BINDINGS = [  # noqa: RUF012 - Textual's own convention
        # Before anything else sees the key: what is typed or pasted right after it belongs into the bar.
        Binding("slash", "filter", "Filter", id="filter", key_display="/", priority=True),
        Binding("i", "cell_filter(False)", "Only this", id="include", show=False),
        Binding("x", "cell_filter(True)", "Without this", id="exclude", show=False),
        Binding("w", "widen", "Widen", id="widen", show=False),
        Binding("F", "named_filters", "Named filters", id="named-filters", show=False),
        Binding("p", "activity", "Kinds & sources", id="activity"),
    ]

    def action_filter(self) -> None:
        """Edit the filter."""
        from audit_tui.model.completion import payload_paths

        bar = self.query_one(FilterBar)
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

    @on(FilterBar.Applied)
    def _filter_bar_applied(self, message: FilterBar.Applied) -> None:
        self._show_filter(message.text, message.filter)

    def action_cell_filter(self, exclude: bool) -> None:
        """Filter by the cell under the cursor, or filter it out."""
        from audit_tui.model.filter_text import cell_term, negated

        row = self.table.cursor_row
        if row is None:
            return
        term = cell_term(self.table.cursor_column, row)
        if not term:
            self.say("choose a cell with the left and right keys: a payload's fields are in the detail, by Enter")
            return
        self.add_term(negated(term) if exclude else term)

    def add_term(self, term: str) -> None:
        """Filter by one term more."""
        from audit_tui.model.filter_text import with_term

        self.apply_filter(with_term(self.session.view.filter_text, term))

    def action_widen(self) -> None:
        """Take the last term of the filter away."""
        from audit_tui.model.filter_text import without_last_term

        self.apply_filter(without_last_term(self.session.view.filter_text))

    def action_named_filters(self) -> None:
        """Choose, save or remove a filter that has a name."""
        from audit_tui.screens.named_filters import NamedFiltersScreen

        def chosen(text: str | None) -> None:
            if text is not None:
                self.apply_filter(text)

        user_data = self.console_app.user_data
        self.app.push_screen(
            NamedFiltersScreen(
                user_data.named_filters(self.session.log.url),
                self.session.view.filter_text,
                save=lambda name, text: user_data.save_filter(self.session.log.url, name, text),
            ),
            chosen,
        )

    def action_activity(self) -> None:
        """Show or hide the kinds and sources."""
        panel = self.query_one(ActivityPanel)
        panel.display = not panel.display
        if panel.display:
            # At once, not at the next look: keys that were typed right after it mean what is in it.
            self.show_activity()
        elif panel.has_focus:
            self.table.focus()

    @on(ActivityPanel.Chosen)
    def _activity_panel_chosen(self, message: ActivityPanel.Chosen) -> None:
        from audit_tui.model.filter_text import choose

        self.apply_filter(
            choose(self.session.view.filter_text, message.kinds, message.sources, cleared=message.cleared)
        )

    @on(ActivityPanel.Excluded)
    def _activity_panel_excluded(self, message: ActivityPanel.Excluded) -> None:
        from audit_tui.model.filter_text import toggle_excluded

        self.apply_filter(toggle_excluded(self.session.view.filter_text, message.dimension, message.name))

    def apply_filter(self, text: str) -> None:
        """Show what passes; a text that is no filter is said to be none, and changes nothing."""
        from audit_stream.filters import FilterError
        from audit_tui.model.filter_text import parsed

        filter_ = parsed(text, self.session.clock.now_ms(), self.session.kinds)
        if isinstance(filter_, FilterError):
            self.say(f"{text}: {filter_}", severity="error")
            return
        self._show_filter(text, filter_)

    def _show_filter(self, text: str, filter_: Filter) -> None:
        from audit_tui.model.filter_text import chosen

        session = self.session
        view = session.view
        is_filtered = bool(filter_.terms)
        keep = self.table.cursor_row if not view.following else None
        for group in ("older", "newer"):  # a log that is still searching for the former filter need not go on
            self.workers.cancel_group(self, group)
        view.filter_by(
            session.ring,
            passes(filter_) if is_filtered else everything,
            text=text.strip(),
            query=str(filter_),
            filtered=is_filtered,
        )
        self.query_one(FilterBar).set_applied(view.filter_text)
        self.query_one(ActivityPanel).set_choice(*chosen(view.filter_text))

        async def fill() -> None:
            await self.look_through_memory(first_pause_s=_PAINT_S)
            if keep is not None:  # who had paused stays about where they were, under the new filter
                if keep.event_id < view.low:
                    await session.pages.show_around(keep.event_id)
                    self.table.changed()
                self.table.go_to(keep.event_id)
            self.show_change()

        self.reading(fill, group="place")
