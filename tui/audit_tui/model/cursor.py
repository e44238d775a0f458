"""Where in a window one is: which item is under the cursor, which is the first on the screen, what is selected.

By absolute index (`View.first` and on), so that whatever enters or leaves memory at either end, the same event stays
under the eye.
"""

from __future__ import annotations

from audit_tui.model.rows import Row
from audit_tui.model.view import Item, View

__all__ = ["Cursor"]

_NEAR = 100
"""Rows from an end at which more are wanted, so that they are there before one arrives."""


class Cursor:
    """`at` is under the cursor, `top` the first on the screen, `anchor` where a selection began.

    `holding`: the selection goes on with every move, until it is ended.

    `rows` is always how many items the screen shows.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self.at = 0
        self.top = 0
        self.anchor: int | None = None
        self.holding = False

    @property
    def place(self) -> int:
        """Where in the window the cursor is, from 0."""
        return self.at - self._view.first

    @property
    def item(self) -> Item | None:
        """What is under the cursor; None when nothing is shown."""
        return self.item_at(self.at)

    def item_at(self, index: int) -> Item | None:
        """What has an absolute index; None when it is not in memory."""
        place = index - self._view.first
        return self._view.items[place] if 0 <= place < len(self._view.items) else None

    @property
    def selected(self) -> list[Row]:
        """The events of the selection, or the one under the cursor."""
        items = (self.item_at(index) for index in self._selection())
        return [item for item in items if isinstance(item, Row)]

    @property
    def selected_count(self) -> int:
        """How many rows a selection has, 0 when there is none."""
        return 0 if self.anchor is None else len(self._selection())

    def select(self) -> None:
        """Begin a selection that goes on with every move, or end the one that there is; pauses."""
        self._view.pause()
        self.holding = self.anchor is None
        self.anchor = self.at if self.holding else None

    def extend(self) -> None:
        """Begin a selection that the next move ends, unless there is one; pauses."""
        self._view.pause()
        if self.anchor is None:
            self.anchor = self.at

    def unselect(self) -> None:
        """There is no selection any more."""
        self.anchor, self.holding = None, False

    def is_selected(self, index: int) -> bool:
        """Whether an index lies in a selection."""
        return self.anchor is not None and index in self._selection()

    def begin(self) -> None:
        """The window has been begun anew."""
        self.unselect()
        self.at = self.top = self._view.first

    def settle(self, rows: int) -> None:
        """After the window has changed: to its end when it follows; within it, and within what one sees, anyway."""
        first, count = self._view.first, len(self._view.items)
        last = first + max(0, count - 1)
        self.at = last if self._view.following else max(first, min(last, self.at))
        self.top = min(max(self.top, self.at - rows + 1), self.at)
        self.top = max(first, min(self.top, first + max(0, count - rows)))

    def move(self, by: int, rows: int) -> None:
        """Up or down by so many items; up pauses. A page moves the screen with it.

        Reaching the end does not follow again: only the key for that does, so that "off" holds.
        """
        view = self._view
        at_end = self.at <= view.first if by < 0 else self.place >= len(view.items) - 1
        if at_end:  # who pushes against it wants to see what lies beyond
            view.halted = False
        if not view.items:
            return
        if by < 0:
            view.pause()
        self.at += by
        if abs(by) > 1:
            self.top += by
        self.settle(rows)

    def go_to(self, place: int, rows: int) -> None:
        """To a place in the window, in the middle of the screen; pauses."""
        self._view.pause()
        self.at = self._view.first + place
        self.top = self.at - rows // 2
        self.settle(rows)

    @property
    def wants_older(self) -> bool:
        """Whether the reader is near the older end of the window, and there may be more."""
        view = self._view
        near = self.top - view.first < _NEAR
        return near and not view.at_start and not view.halted and not (view.following and view.is_full)

    @property
    def wants_newer(self) -> bool:
        """Whether the reader is near the newer end of a window that is detached from the live end."""
        view = self._view
        return not view.attached and not view.halted and len(view.items) - self.place < _NEAR

    def _selection(self) -> range:
        anchor = self.at if self.anchor is None else self.anchor
        return range(min(anchor, self.at), max(anchor, self.at) + 1)
