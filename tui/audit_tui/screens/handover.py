"""The hand-over, to read, copy or write to a file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Input, Static

from audit_stream.display import safe
from audit_stream.paths import typed_path
from audit_stream.whole_file import write_whole
from audit_tui.screens.closing import Dialog
from audit_tui.screens.copying import copy
from audit_tui.widgets.said import Said

__all__ = ["HandoverScreen"]

_HINT = "c copies · w writes a file · Escape closes"


class HandoverScreen(Dialog[None]):
    """Shows Markdown as it is. An existing file is replaced only when Enter is pressed once more."""

    DEFAULT_CSS = """
    HandoverScreen > Vertical { width: 110; height: 90%; }
    HandoverScreen VerticalScroll { height: 1fr; }
    HandoverScreen Input { display: none; }
    HandoverScreen Input.-asked { display: block; }
    HandoverScreen Said { max-height: 3; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "copy", "Copy", id="copy"),
        Binding("w", "write", "Write to a file", id="handover-write"),
        Binding("escape", "leave", "Close"),
        Binding("j", "scroll(1)", "Down", show=False),
        Binding("k", "scroll(-1)", "Up", show=False),
    ]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text
        self._may_replace = ""

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = "Hand-over"
            with VerticalScroll():
                yield Static("\n".join(safe(line) for line in self._text.split("\n")), id="handover", markup=False)
            yield Input(placeholder="path of the file, such as hand-over.md", compact=True)
            yield Said(_HINT)

    def on_mount(self) -> None:
        self.query_one(VerticalScroll).focus()

    def action_copy(self) -> None:
        self.say(f"✓ copied{copy(self.app, self._text)}")

    def action_write(self) -> None:
        path = self.query_one(Input)
        path.add_class("-asked")
        path.focus()
        self.say("Enter writes · Escape does not")

    def action_leave(self) -> None:
        """Out of the line for the path, then out of the screen."""
        if self.query_one(Input).has_class("-asked"):
            self._close_line(_HINT)
        else:
            self.dismiss()

    def action_scroll(self, lines: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)

    def on_input_changed(self) -> None:
        self._may_replace = ""

    def on_input_submitted(self, message: Input.Submitted) -> None:
        typed = message.value.strip()
        if typed:
            self.run_worker(self._write(typed), exclusive=True)

    async def _write(self, typed: str) -> None:
        try:
            path = await asyncio.to_thread(_write_file, typed, self._text, replace=self._may_replace == typed)
        except FileExistsError:
            self._may_replace = typed
            self.say(f"{safe(typed)} is there already: Enter again replaces it", is_error=True)
        except OSError as error:
            self.say(f"✗ {safe(typed)}: {error.strerror}", is_error=True)
        except (RuntimeError, ValueError) as error:  # no such home directory; a zero byte in the path
            self.say(f"✗ {safe(typed)}: {safe(str(error))}", is_error=True)
        else:
            self._close_line(f"✓ written to {safe(str(path))}")

    def _close_line(self, text: str) -> None:
        self.query_one(Input).remove_class("-asked")
        self.query_one(VerticalScroll).focus()
        self.say(text)


def _write_file(typed: str, text: str, *, replace: bool) -> Path:
    path = typed_path(typed)
    write_whole(path, text.encode(), replace=replace)
    return path
