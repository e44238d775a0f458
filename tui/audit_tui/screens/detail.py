"""The whole event: its payload, its bytes, its hashes, and the way to its neighbours."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import ClassVar

import msgspec
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Footer, Static

from audit_stream.display import safe
from audit_stream.errors import ClientError
from audit_stream.event_check import EventCheck, check_served
from audit_stream.kinds import KindRegistry
from audit_tui.log import Log
from audit_tui.model.detail import curl_line, field_filter, same_source_filter
from audit_tui.model.detail_text import DetailLine, Tone, byte_sections, hash_lines, header_lines, verdict_line
from audit_tui.model.neighbours import event_before, neighbour
from audit_tui.model.outline import key_text, value_text
from audit_tui.model.rows import Row, check_after
from audit_tui.screens.closing import ClosesOnce
from audit_tui.screens.copying import copy
from audit_tui.widgets.bytes_view import BytesView
from audit_tui.widgets.json_tree import JsonTree

__all__ = ["DetailScreen"]

_VALUE_SHOWN = 2_000
"""Characters of the value under the cursor: what scrolls in a few lines. The bytes have all of it."""

_SOURCE = Binding.Group("Source", compact=True)
_FIELD = Binding.Group("Value", compact=True)
_ID = Binding.Group("Id", compact=True)

_SECTIONS = ("payload", "bytes", "hashes")
_STYLES = {
    Tone.PLAIN: "",
    Tone.TITLE: "bold $text-accent",
    Tone.GOOD: "$text-success",
    Tone.BAD: "bold $text-error",
    Tone.UNKNOWN: "$text-warning",
}


class DetailScreen(ClosesOnce[None]):
    """Shows `row` at once; the link to the event before is checked when that is known.

    `before` is the event with the id right before, if it is in memory; otherwise it is fetched from `log`. `url` is
    what curl lines speak to. `row` changes with every jump; a jump's row is checked, `row.check` and all. `on_read`
    is told of each event that was read from `log`, checked, with the one before it. `said_of` is what stands against an
    event otherwise. `on_filter` gets a term to filter by, with `-` before it to leave out what it matches; `on_mark`
    and `on_note` the event that is to be marked or written about.
    """

    DEFAULT_CSS = """
    DetailScreen #header { height: 2; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; background: $panel; }
    DetailScreen #verdict { height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; background: $panel; }
    DetailScreen #tabs { height: 1; }
    DetailScreen .tab { width: auto; padding: 0 1; color: $text-muted; }
    DetailScreen .tab.-current { text-style: bold reverse; color: $text-primary; }
    DetailScreen #body { height: 1fr; min-height: 1; }
    DetailScreen #hashes { padding: 0 1; scrollbar-size-vertical: 1; }
    DetailScreen #hashes-text { height: auto; }
    DetailScreen.-wide #payload { width: 3fr; }
    DetailScreen.-wide #hashes { width: 80; }
    DetailScreen #value { height: auto; max-height: 4; background: $boost; padding: 0 1; }
    DetailScreen #value-text { height: auto; }
    DetailScreen #said { height: 1; padding: 0 1; color: $text-warning; text-wrap: nowrap; text-overflow: ellipsis; }
    DetailScreen.-low #value, DetailScreen.-low #verdict, DetailScreen.-low Footer { display: none; }
    DetailScreen.-low #header { height: 1; }
    """

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (140, "-wide")]  # noqa: RUF012 - as Screen declares it
    VERTICAL_BREAKPOINTS = [(0, "-low"), (14, "-high")]  # noqa: RUF012 - as Screen declares it

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "close", "Close"),
        Binding("1", "section('payload')", "Payload", id="detail-payload", show=False),
        Binding("2", "section('bytes')", "Bytes", id="detail-bytes", show=False),
        Binding("3", "section('hashes')", "Hashes", id="detail-hashes", show=False),
        Binding(
            "left_square_bracket",
            "jump('source', -1)",
            "Previous event of the same source",
            id="previous-of-source",
            group=_SOURCE,
            key_display="[",
        ),
        Binding(
            "right_square_bracket",
            "jump('source', 1)",
            "Next event of the same source",
            id="next-of-source",
            group=_SOURCE,
            key_display="]",
        ),
        Binding(
            "left_curly_bracket",
            "jump('field', -1)",
            "Previous event with the value under the cursor",
            id="previous-of-value",
            group=_FIELD,
            key_display="{",
        ),
        Binding(
            "right_curly_bracket",
            "jump('field', 1)",
            "Next event with the value under the cursor",
            id="next-of-value",
            group=_FIELD,
            key_display="}",
        ),
        Binding("comma", "jump('id', -1)", "Previous event", id="previous-event", group=_ID, key_display=","),
        Binding("full_stop", "jump('id', 1)", "Next event", id="next-event", group=_ID, key_display="."),
        Binding("c", "copy", "Copy", id="copy"),
        Binding("y", "copy_field", "Copy field", id="copy-value"),
        Binding("C", "copy_curl", "Copy curl", id="copy-curl", show=False),
        Binding("i", "filter('')", "Include", id="include", show=False),
        Binding("x", "filter('-')", "Exclude", id="exclude", show=False),
        Binding("m", "mark", "Mark", id="mark", show=False),
        Binding("M", "note", "Note", id="note", show=False),
    ]

    def __init__(
        self,
        row: Row,
        before: Row | None,
        *,
        url: str,
        log: Log,
        kinds: KindRegistry,
        on_read: Callable[[Row, Row | None], None] = lambda row, before: None,
        said_of: Callable[[int], str] = lambda event_id: "",
        on_filter: Callable[[str], None] = lambda term: None,
        on_mark: Callable[[Row], None] = lambda row: None,
        on_note: Callable[[Row], None] = lambda row: None,
    ) -> None:
        super().__init__()
        self.row = row
        self._before = before
        self._why_unknown = "the event before is being fetched"
        self._url = url
        self._reads = log
        self._kinds = kinds
        self._on_read = on_read
        self._said_of = said_of
        self._on_filter = on_filter
        self._on_mark = on_mark
        self._on_note = on_note
        self._section = "payload"

    def compose(self) -> ComposeResult:
        yield Static(id="header", markup=False)
        yield Static(id="verdict", markup=False)
        with Horizontal(id="tabs"):
            for number, name in enumerate(_SECTIONS, start=1):
                yield Static(f"{number} {name.capitalize()}", id=f"tab-{name}", classes="tab", markup=False)
        with Horizontal(id="body"):
            yield JsonTree(self.row.payload, id="payload")
            yield BytesView(id="bytes")
            with VerticalScroll(id="hashes"):
                yield Static(id="hashes-text", markup=False)
        with VerticalScroll(id="value", can_focus=False):
            yield Static(id="value-text", markup=False)
        yield Static(id="said", markup=False)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self._show_section()
        self._show_checks()
        self._check_link()

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self._show_section)  # once the breakpoints' classes are set

    # What is shown

    def _show(self, row: Row, before: Row | None) -> None:
        self.row, self._before = row, before
        self._why_unknown = "the event before is being fetched"
        self.query_one(JsonTree).show(row.payload)
        self._show_checks()
        self._say("")
        self._check_link()

    def _show_checks(self) -> None:
        found = check_served(self.row.raw, self._before)
        self.query_one("#header", Static).update("\n".join(header_lines(self.row)))
        self.query_one("#verdict", Static).update(self._verdict(found))
        self.query_one("#hashes-text", Static).update(_content(hash_lines(self.row, found, self._why_unknown)))
        self._show_bytes(found)

    def _verdict(self, found: EventCheck) -> Content:
        """What this copy is found to be, after what others say of the event, which may speak of other bytes."""
        own, said = verdict_line(found), self._said_of(self.row.event_id)
        if not said or own.tone is Tone.BAD:
            return _content([own])
        return Content.assemble((f"✗ {said} (b)", _STYLES[Tone.BAD]), "; this copy: ", _content([own]))

    def _show_bytes(self, found: EventCheck) -> None:
        if self._section == "bytes":
            self.query_one(BytesView).show(byte_sections(self.row, found))

    def _show_section(self) -> None:
        wide = self.has_class("-wide")
        for name in _SECTIONS:
            beside = wide and "bytes" not in (name, self._section)
            self.query_one(f"#{name}").display = name == self._section or beside
            self.query_one(f"#tab-{name}").set_class(name == self._section, "-current")
        self.query_one(f"#{self._section}").focus()

    def _say(self, text: str) -> None:
        self.query_one("#said", Static).update(safe(text))

    @on(JsonTree.Moved)
    def _show_value(self, message: JsonTree.Moved) -> None:
        path = ".".join(["payload", *map(key_text, message.path)])
        text = f"{path} = {value_text(message.value, longest=_VALUE_SHOWN)}"
        self.query_one("#value-text", Static).update(text)
        self.query_one("#value").scroll_home(animate=False)

    def on_click(self, event: events.Click) -> None:
        name = (event.widget.id or "") if event.widget is not None else ""
        if name.startswith("tab-"):
            self.action_section(name.removeprefix("tab-"))

    def action_section(self, name: str) -> None:
        self._section = name
        self._show_section()
        self._show_bytes(check_served(self.row.raw, self._before))

    def action_close(self) -> None:
        self.dismiss()

    # The event before, and neighbours

    def _check_link(self) -> None:
        known = self._before is not None and self._before.event_id == self.row.event_id - 1
        if self.row.event_id > 1 and not known:
            self.run_worker(self._fetch_before(self.row), group="link", exclusive=True)
        else:
            self.workers.cancel_group(self, "link")

    async def _fetch_before(self, row: Row) -> None:
        try:
            self._before = await event_before(self._reads, row, self._kinds)
            self._why_unknown = f"there is no event #{row.event_id - 1} here"
        except ClientError as error:
            self._why_unknown = str(error)
        if not self.is_attached:  # closed meanwhile
            return
        if self._before is not None:
            self._on_read(self._before, None)
            linked = msgspec.structs.replace(row)  # what is shown stays as it came in
            check_after(self._before, linked)
            self._on_read(linked, self._before)
        self._show_checks()

    def action_jump(self, along: str, direction: int) -> None:
        """To the next (1) or previous (-1) event of the source, of the field's value, or by id."""
        if along == "id":
            selection, whose = "", ""
        elif along == "source":
            selection, whose = same_source_filter(self.row), " of this source"
        else:
            tree = self.query_one(JsonTree)
            term = field_filter(tree.path, tree.value)
            if term is None:
                self._say("move to a field of the payload first")
                return
            selection, whose = term, f" with {term}"
        self._say(f"looking for the {'next' if direction > 0 else 'previous'} event{whose}…")
        self.run_worker(self._jump(self.row, selection, whose, direction), group="jump", exclusive=True)

    async def _jump(self, row: Row, q: str, whose: str, direction: int) -> None:
        try:
            found = await neighbour(self._reads, row, self._kinds, q=q, direction=direction)
        except ClientError as error:
            self._say(f"✗ {error}")
            return
        if not self.is_attached:  # closed meanwhile
            return
        if found is None:
            self._say(f"no {'later' if direction > 0 else 'earlier'} event{whose}")
            return
        before = row if found.event_id == row.event_id + 1 else None
        check_after(before, found)
        self._on_read(found, before)
        self._show(found, before)

    # What leaves the screen

    def action_copy(self) -> None:
        self._copy(self.row.raw.decode("utf-8", "backslashreplace"), f"event #{self.row.event_id}")

    def action_copy_field(self) -> None:
        """Copy the value under the cursor: a string as it is, anything else as JSON."""
        tree = self.query_one(JsonTree)
        value = tree.value
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
        self._copy(text, ".".join(["payload", *map(key_text, tree.path)]))

    def action_copy_curl(self) -> None:
        line = curl_line(self._url, self.row.event_id)
        if line:
            self._copy(line, "a curl line")
        else:
            self._say("there is no daemon to fetch it from: this is a file")

    def _copy(self, text: str, what: str) -> None:
        self._say(f"copied {what}{copy(self.app, text)}")

    def action_filter(self, sign: str) -> None:
        """Close, and filter by the field under the cursor; `-` leaves out what has its value."""
        tree = self.query_one(JsonTree)
        term = field_filter(tree.path, tree.value)
        if term is None:
            self._say("move to a field of the payload first")
            return
        self._on_filter(f"{sign}{term}")
        self.dismiss()

    def action_mark(self) -> None:
        self._on_mark(self.row)

    def action_note(self) -> None:
        self._on_note(self.row)


def _content(lines: list[DetailLine]) -> Content:
    parts = [(line.text, _STYLES[line.tone]) if _STYLES[line.tone] else line.text for line in lines]
    return Content("\n").join(Content.assemble(part) for part in parts)
