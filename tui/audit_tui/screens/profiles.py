"""Choosing a daemon."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from audit_stream.display import safe
from audit_stream.errors import ClientError
from audit_tui.log import is_address
from audit_tui.screens.closing import Dialog
from audit_tui.text import in_columns
from audit_tui.widgets.choices import Choices
from audit_tui.widgets.said import Said

__all__ = ["ProfilesScreen"]

_HINT = "Enter opens · Tab goes to the list · Escape closes"


class ProfilesScreen(Dialog[str | None]):
    """A line to type an address in and the known ones below; the result is an address as `base_url` has it, or None.

    `known` has addresses by name; one that is its own name has none. Typing a name finds it too.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Close"),
        Binding("down", "list", "To the list", show=False),
    ]

    def __init__(self, known: Mapping[str, str], *, title: str = "Open") -> None:
        super().__init__()
        self._known = dict(known)
        self._title = title

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = self._title
            yield Input(placeholder="address of a daemon, or a profile's name", compact=True)
            yield Said(_HINT)
            yield Choices(*(Option(Text(line, no_wrap=True)) for line in _lines(self._known)), compact=True)

    def on_input_changed(self) -> None:
        self.say(_HINT)

    def on_input_submitted(self, message: Input.Submitted) -> None:
        typed = message.value.strip()
        self._open(self._known.get(typed, typed))

    def on_option_list_option_selected(self, message: OptionList.OptionSelected) -> None:
        self._open(list(self._known.values())[message.option_index])

    def action_list(self) -> None:
        if self._known:
            self.query_one(OptionList).focus()

    def _open(self, text: str) -> None:
        from audit_stream.client import base_url  # heavy, and long since loaded where there is a daemon
        from audit_tui.offline.recognise import said_of_file

        try:
            if (file := said_of_file(text)) is not None:  # as a host it would be waited for for ever
                raise ClientError(file)
            url = base_url(text)
        except ClientError as error:
            self.say(f"✗ {safe(str(error))}", is_error=True)
        else:
            self.dismiss(url)


def _lines(known: Mapping[str, str]) -> list[str]:
    """In the order of `known`: a name and its address in columns, or the address alone."""
    named = iter(in_columns([(safe(name), _shown(url)) for name, url in known.items() if name != url]))
    return [_shown(url) if name == url else next(named) for name, url in known.items()]


def _shown(url: str) -> str:
    """Without a password."""
    from audit_stream.client import shown_url  # heavy, and long since loaded where there is a daemon

    return safe(shown_url(url) if is_address(url) else url)
