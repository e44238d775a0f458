"""The keys of the screen that one is on."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import ClassVar, Self

from textual.app import App, ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from audit_stream.display import safe
from audit_tui.screens.closing import Dialog

__all__ = ["HelpScreen", "grouped_keys"]

Groups = dict[str, list[tuple[str, str]]]
"""By title, what keys there are and what each does."""

_FROM_TEXTUAL = frozenset(binding.action for binding in Screen.BINDINGS if isinstance(binding, Binding))
"""Moving the focus and the like: nobody opens the help for them, so that they do not come before the screen's own."""


def grouped_keys(screen_name: str, bindings: Mapping[str, ActiveBinding], display: Callable[[Binding], str]) -> Groups:
    """What is described among the bindings, those of one action together, by where they are defined.

    The screen's own come first, under its name; those of widgets under their titles; last, as "Everywhere", the app's
    and what every screen has from Textual.
    """
    found: dict[tuple[str, str], tuple[str, list[str]]] = {}
    for node, binding, enabled, _ in bindings.values():
        if not binding.description or binding.system or not enabled:
            continue
        if isinstance(node, App) or binding.action.startswith("app.") or binding.action in _FROM_TEXTUAL:
            title = "Everywhere"
        else:
            title = screen_name if isinstance(node, Screen) else node.BINDING_GROUP_TITLE or type(node).__name__
        _, keys = found.setdefault((title, binding.action), (binding.description, []))
        shown = display(binding)
        if shown not in keys:
            keys.append(shown)
    groups: Groups = {}
    for (title, _), (description, keys) in found.items():
        groups.setdefault(title, []).append((" ".join(keys), description))
    order = sorted(groups, key=lambda title: (title == "Everywhere", title != screen_name))
    return {title: groups[title] for title in order}


class HelpScreen(Dialog[None]):
    """Shows bindings, as `Screen.active_bindings` gives them when they are in force: remapped keys as they are now."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss", "Close"),
        Binding("question_mark", "dismiss", "Close", id="help", key_display="?"),
    ]

    def __init__(self, screen_name: str, bindings: Mapping[str, ActiveBinding]) -> None:
        super().__init__()
        self._screen_name = screen_name
        self._active = dict(bindings)

    @classmethod
    def of(cls, screen: Screen[object]) -> Self:
        """Help for a screen, by the bindings that are in force on it now."""
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(screen).__name__.removesuffix("Screen"))
        return cls(screen.title or name.capitalize(), screen.active_bindings)

    def compose(self) -> ComposeResult:
        with VerticalScroll() as box:
            box.border_title = Content(safe(f"Keys: {self._screen_name}"))
            box.border_subtitle = "escape closes"
            yield Static(self._text(), markup=False)

    def on_mount(self) -> None:
        self.query_one(VerticalScroll).focus()

    def _text(self) -> Content:
        groups = grouped_keys(self._screen_name, self._active, self.app.get_key_display)
        width = min(24, max((len(keys) for rows in groups.values() for keys, _ in rows), default=0))
        pieces: list[str | tuple[str, str]] = []
        for title, rows in groups.items():
            pieces += ["\n" if pieces else "", (safe(title), "bold $text-accent"), "\n"]
            for keys, description in rows:
                pieces += [(f"  {safe(keys):<{width}}", "$text-primary"), f"  {safe(description)}\n"]
        return Content.assemble(*pieces) if pieces else Content("no keys here")
