"""Two daemons side by side: where their histories part."""

from __future__ import annotations

from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Footer, Static

from audit_stream.display import safe
from audit_stream.errors import ClientError
from audit_tui.log import Log
from audit_tui.model.divergence import Divergence, diverge
from audit_tui.screens.closing import Dialog
from audit_tui.screens.copying import copy

__all__ = ["CompareScreen"]


class CompareScreen(Dialog[None]):
    """Compares as soon as it is shown. `other` is closed with the screen, `one` is not."""

    DEFAULT_CSS = """
    CompareScreen > VerticalScroll { width: 95%; height: 90%; }
    CompareScreen #assumption { color: $text-muted; }
    CompareScreen #summary { text-style: bold; }
    CompareScreen #summary.-bad { color: $text-error; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss", "Close"),
        Binding("c", "copy", "Copy", id="copy"),
        Binding("r", "again", "Again", id="compare-again"),
    ]

    def __init__(self, one: Log, other: Log) -> None:
        super().__init__()
        self._logs = (one, other)
        self.result: Divergence | None = None

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="body") as body:
            body.border_title = "Compare"
            yield Static("", id="summary", markup=False)
            yield Static("", id="assumption", markup=False)
            yield Static("", id="events", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        self.query_one("#body").focus()
        self.action_again()

    async def on_unmount(self) -> None:
        await self._logs[1].close()

    def action_again(self) -> None:
        self.result = None
        self.query_one("#assumption", Static).update("")
        self.query_one("#events", Static).update("")
        self._say("Comparing: asking both for their heads")
        self.run_worker(self._compare(), group="compare", exclusive=True)

    def action_copy(self) -> None:
        if self.result is not None:
            self.notify(f"copied{copy(self.app, self.result.as_text())}", markup=False)

    async def _compare(self) -> None:
        try:
            result = await diverge(*self._logs, self._progress)
            events = _side_by_side(result)
        except ClientError as error:
            self._say(f"✗ {safe(str(error))}", bad=True)
            return
        self.result = result
        mark = "=" if result.diverge_at is None else "≠"
        self._say(f"{mark} {result.summary}", bad=result.diverge_at is not None)
        self.query_one("#assumption", Static).update(result.assumption)
        self.query_one("#events", Static).update(events)

    def _progress(self, done: int, total: int) -> None:
        self._say(f"Comparing: step {done} of {total}")

    def _say(self, text: str, *, bad: bool = False) -> None:
        summary = self.query_one("#summary", Static)
        summary.set_class(bad, "-bad")
        summary.update(text)


def _side_by_side(result: Divergence) -> Table:
    """Both heads, and below them the first events that differ."""
    table = Table(expand=True, box=None, padding=(0, 1, 0, 0), show_header=True)
    table.add_column("", width=1)
    table.add_column(Text("field"), ratio=1, overflow="fold")
    table.add_column(Text(safe(result.one_url)), ratio=2, overflow="fold")
    table.add_column(Text(safe(result.other_url)), ratio=2, overflow="fold")
    heads = [Text(f"#{head.event_id:,} {safe(head.hash)}") for head in (result.one, result.other)]
    table.add_row(Text("≠" if result.one != result.other else "="), Text("head"), *heads)
    if result.diverge_at is not None:
        for pair in result.fields():
            style = "bold" if pair.differs else "dim"
            texts = [Text(text, style=style) for text in (pair.field, pair.one, pair.other)]
            table.add_row(Text("≠" if pair.differs else "="), *texts)
    return table
