"""The way to a whole event, and back from there."""

from __future__ import annotations

from collections.abc import Callable

from audit_tui.controllers.filtering import FilterController
from audit_tui.controllers.host import Host
from audit_tui.controllers.marking import MarkController
from audit_tui.model.rows import Row
from audit_tui.session import Session

__all__ = ["DetailController"]


class DetailController:
    """Opens events; what is wanted of one that is open, the filters and the marks do."""

    def __init__(self, session: Session, filters: FilterController, marks: MarkController, host: Host) -> None:
        self._session = session
        self._filters = filters
        self._marks = marks
        self._host = host

    def open(self, row: Row) -> None:
        """The whole event."""
        self._open(row, self._session.ring.find(row.event_id - 1), self._session.integrity.said_of)

    def open_copy(self, row: Row, before: Row | None) -> None:
        """A whole event that only this console has."""

        def said_of(event_id: int) -> str:
            if event_id == row.event_id:
                return "no longer in the log: this is the copy that was received here"
            return self._session.integrity.said_of(event_id)

        self._open(row, before, said_of)

    def _open(self, row: Row, before: Row | None, said_of: Callable[[int], str]) -> None:
        from audit_tui.screens.detail import DetailScreen

        session, later = self._session, self._host.later
        self._host.open(
            DetailScreen(
                row,
                before,
                url=session.log.url,
                log=session.log,
                kinds=session.kinds,
                on_read=session.observe,
                said_of=said_of,
                on_filter=later(self._filters.add_term),
                on_mark=later(self._marks.toggle),
                on_note=later(self._marks.write_note),
            )
        )
