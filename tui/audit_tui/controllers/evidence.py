"""Events as files and on the clipboard."""

from __future__ import annotations

import asyncio

from audit_stream.display import counted
from audit_tui.controllers.host import Host
from audit_tui.session import Session
from audit_tui.storage.new_file import write_new
from audit_tui.widgets.event_table import EventTable

__all__ = ["EvidenceController"]


class EvidenceController:
    """What leaves the console."""

    def __init__(self, session: Session, table: EventTable, host: Host) -> None:
        self._session = session
        self._table = table
        self._host = host

    def export(self) -> None:
        """Write what passes the filter to a file."""
        from audit_stream.client import Selection
        from audit_tui.screens.export import ExportScreen

        view = self._session.view
        self._host.open(ExportScreen(self._session.log, Selection(q=view.query), view.filter_text or "all events"))

    def bundle(self) -> None:
        """Write the selected events, their links to a known head, and the verdict, as one file."""
        from audit_tui.model.collect import collect

        rows, session = self._table.cursor.selected, self._session
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
                self._host.say(f"{name} cannot be written to {where}: {error.strerror}", severity="error")
            else:
                checked = f"check it with `audit-tui check {path.name}`"
                self._host.say(f"{counted(len(rows), 'event')} in {path}: {checked}")

        self._host.read(write, group="bundle")

    def copy(self) -> None:
        """Copy the selected events as they were served."""
        rows = self._table.cursor.selected
        if rows:
            text = "\n".join(row.raw.decode("utf-8", "backslashreplace") for row in rows)
            self._host.copy(text, counted(len(rows), "event"))

    def copy_curl(self) -> None:
        """Copy a curl line for the event under the cursor."""
        from audit_tui.model.detail import curl_line

        row = self._table.cursor_row
        if row is None:
            return
        line = curl_line(self._session.log.url, row.event_id)
        if line:
            self._host.copy(line, "a curl line")
        else:
            self._host.say("a file has no address that curl could ask", severity="warning")
