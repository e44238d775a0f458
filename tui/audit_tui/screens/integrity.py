"""The integrity screen: what was checked by whom and when, the remembered heads, and a break from close by."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.widgets import Footer, Static

from audit_stream.display import safe
from audit_stream.errors import ClientError
from audit_stream.event import system_clock_ms
from audit_tui.model import integrity_report as report
from audit_tui.model.badge import Badge, State
from audit_tui.model.cut_report import cuts_text
from audit_tui.model.cuts import Cuts
from audit_tui.model.integrity import Integrity
from audit_tui.model.rows import Check, Gap, Row
from audit_tui.screens.closing import ClosesOnce
from audit_tui.screens.copying import copy
from audit_tui.widgets.badge import BadgeWidget

__all__ = ["IntegrityScreen"]

_BESIDE = 3
"""Cells that the padding and the scroll bar take from the width."""


class _Report(VerticalScroll):
    """All below the badge. The keys are Textual's; without a title the help calls them by the name of the class."""

    BINDING_GROUP_TITLE = "Scroll"


class IntegrityScreen(ClosesOnce[None]):
    """Everything behind the badge.

    `heads` are those remembered on disk. `load_around` gives the events around one, checked or not, or raises
    ClientError; `stored` an event as it was received earlier, if it is still in memory. `cuts` are what is gone from
    the log, `head_id` gives its last id now. `log` is what people call it. The keys do what `verify`, `acknowledge`,
    `accept` (which asks first) and `show_gone` are.
    """

    DEFAULT_CSS = """
    IntegrityScreen Static { text-wrap: nowrap; text-overflow: ellipsis; height: auto; }
    IntegrityScreen #line { height: auto; padding: 0 0 0 1; }
    IntegrityScreen #detail { text-wrap: wrap; color: $text; }
    IntegrityScreen.-low #detail { display: none; }
    IntegrityScreen #known, IntegrityScreen #findings, IntegrityScreen #heads { text-wrap: wrap; }
    IntegrityScreen .title { color: $text-accent; text-style: bold; margin-top: 1; }
    IntegrityScreen #scroll { height: 1fr; padding: 0 1; scrollbar-size-vertical: 1; }
    IntegrityScreen #break-part, IntegrityScreen #gone-part { display: none; height: auto; }
    IntegrityScreen.-gone #gone-part { display: block; }
    IntegrityScreen.-red #break-part { display: block; }
    IntegrityScreen #lists { height: auto; layout: vertical; }
    IntegrityScreen #lists > Container { height: auto; }
    IntegrityScreen.-wide #lists { layout: horizontal; }
    IntegrityScreen.-wide #findings-part { width: 3fr; padding-right: 2; }
    IntegrityScreen.-wide #heads-part { width: 2fr; }
    """

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012 - as Screen declares it

    VERTICAL_BREAKPOINTS = [(0, "-low"), (12, "-high")]  # noqa: RUF012 - as Screen declares it

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "copy", "Copy for a ticket", id="copy"),
        Binding("v", "verify", "Verify now", id="verify"),
        Binding("a", "acknowledge", "Acknowledge", id="acknowledge"),
        Binding("A", "accept", "Accept", id="accept"),
        Binding("g", "gone", "Gone", id="gone"),
        Binding("escape,q", "close", "Close"),
        Binding("b", "close", "Close", id="integrity", show=False),
    ]

    def __init__(
        self,
        integrity: Integrity,
        heads: Sequence[report.Remembered],
        load_around: Callable[[int], Awaitable[Sequence[Row | Gap]]],
        *,
        accepted: Sequence[report.Accepted] = (),
        cuts: Cuts | None = None,
        head_id: Callable[[], int] = lambda: 0,
        stored: Callable[[int], Row | None] = lambda event_id: None,
        log: str = "",
        now_s: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = system_clock_ms,
        verify: Callable[[], None] = lambda: None,
        acknowledge: Callable[[], None] = lambda: None,
        accept: Callable[[], None] = lambda: None,
        show_gone: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self._integrity = integrity
        self._heads = heads
        self._accepted = accepted
        self._cuts = cuts if cuts is not None else Cuts()
        self._head_id = head_id
        self._load_around = load_around
        self._stored = stored
        self._log_name = log
        self._now_s = now_s
        self._now_ms = now_ms
        self._verify = verify
        self._acknowledge = acknowledge
        self._accept = accept
        self._show_gone = show_gone
        self._badge: Badge | None = None
        self._loaded: object = None
        self._explained: Callable[[int | None], str] = lambda width: ""
        self._texts: dict[str, str] = {"break": "", "gone": ""}

    def compose(self) -> ComposeResult:
        with Container(id="line"):
            yield BadgeWidget(id="badge")
            yield Static(id="detail", markup=False)
        with _Report(id="scroll"):
            yield Static("Checked by whom", classes="title", markup=False)
            yield Static(id="known", markup=False)
            with Container(id="gone-part"):
                yield Static("No longer in the log", classes="title", markup=False)
                yield Static(id="gone", markup=False)
            with Container(id="break-part"):
                yield Static("What does not hold", classes="title", markup=False)
                yield Static(id="break", markup=False)
            with Container(id="lists"):
                with Container(id="findings-part"):
                    yield Static("Findings (UTC, the newest first)", classes="title", markup=False)
                    yield Static(id="findings", markup=False)
                with Container(id="heads-part"):
                    yield Static("Heads that this console remembers", classes="title", markup=False)
                    yield Static(id="heads", markup=False)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Show all, and from then on what changes; what an alarm's toast says stands here, and it would cover that."""
        self.app.clear_notifications()
        self.query_one("#scroll").focus()
        self.refresh_all()
        self.set_interval(1.0, self.refresh_all)

    def refresh_all(self) -> None:
        """Show what has changed; load what lies around a break that is new, or that there is a new verdict on."""
        if not self.is_attached:  # closed by a key right after `a`
            return
        badge = self._integrity.badge(self._now_s())
        self._badge = badge
        self.query_one(BadgeWidget).show(badge)
        self.set_class(badge.is_alarm or badge.is_acknowledged, "-red")
        self.set_class(bool(self._cuts.all), "-gone")
        self.refresh_bindings()
        self._set("detail", badge.detail)
        self._set("gone", self._gone_text())
        self._set("known", "\n".join(report.known_lines(self._integrity)))
        self._set("findings", "\n".join(report.finding_lines(self._integrity)))
        self._set("heads", "\n".join(report.head_lines(self._heads) + report.accepted_lines(self._accepted)))
        wanted = (badge.event_id, self._integrity.rewriting, self._integrity.last_verdict)
        if (badge.is_alarm or badge.is_acknowledged) and badge.event_id is not None and wanted != self._loaded:
            self._loaded = wanted
            self.run_worker(self._explain(badge.event_id, badge.state), group="around", exclusive=True)

    def _gone_text(self) -> str:
        return cuts_text(self._cuts, self._heads, self._head_id())

    async def _explain(self, event_id: int, state: State) -> None:
        rewriting = self._integrity.rewriting
        texts: list[str] = []
        if state is State.REWRITTEN and rewriting is not None:
            texts.append(report.rewriting_text(rewriting))
        found = self._integrity.own_breaks.get(event_id)
        try:
            rows = report.checked_now(await self._load_around(event_id))
        except ClientError as error:
            texts.append(f"The events around #{event_id} cannot be loaded: {safe(str(error))}")
            rows = [] if found is None else [row for row in (found.before, found.row) if row is not None]
        else:
            self._note_repair(event_id, rows)
        earlier = self._stored(event_id)

        def explained(width: int | None) -> str:
            if state is State.REWRITTEN:
                around = ["\n".join(report.around_lines(rows, event_id, width))]
            elif rows or not texts:
                around = [report.break_text(event_id, rows, None if found is None else found.row, earlier, width)]
            else:
                around = []
            return "\n\n".join([*texts, *around])

        self._explained = explained
        self._show_break()

    def _show_break(self) -> None:
        """As wide as there is room."""
        if self.is_attached:
            self._set("break", self._explained(self.size.width - _BESIDE))

    def on_resize(self) -> None:
        self._show_break()

    def _note_repair(self, event_id: int, rows: Sequence[Row]) -> None:
        """Tell when an event that this console found broken has now come whole."""
        whole = any(row.event_id == event_id and row.check is Check.LINKED for row in rows)
        if whole and event_id in self._integrity.own_breaks:
            self._integrity.holds_again(event_id, self._now_s())

    def _set(self, name: str, text: str) -> None:
        if self._texts.get(name) != text:
            self._texts[name] = text
            self.query_one(f"#{name}", Static).update(Content(text))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "accept":
            return self._integrity.is_rewritten
        return action != "gone" or bool(self._cuts.rows)

    def action_copy(self) -> None:
        """Put everything that a ticket needs on the clipboard."""
        badge = self._badge or self._integrity.badge(self._now_s())
        details = "\n\n".join(filter(None, [self._gone_text(), self._explained(None)]))
        text = report.ticket(self._log_name, badge, self._integrity, self._now_ms(), details)
        self.notify(f"copied for a ticket{copy(self.app, text)}", markup=False, timeout=3)

    def action_verify(self) -> None:
        self._verify()

    def action_accept(self) -> None:
        """Ask whether the history that there is now is to be accepted."""
        self._accept()

    def action_gone(self) -> None:
        self._show_gone()

    def action_acknowledge(self) -> None:
        if self._badge is not None and self._badge.is_alarm:
            self._acknowledge()
            self.refresh_all()

    def action_close(self) -> None:
        self.dismiss()
