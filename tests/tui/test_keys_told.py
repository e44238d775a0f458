"""Bindings, the names by which they are remapped, the help and docs/console.md hold each other: both ways."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from textual.binding import Binding

import audit_tui
from audit_tui.keymap import FIXED_KEYS, main_keys, screen_keys

PAGE = (Path(__file__).parents[2] / "docs" / "console.md").read_text(encoding="utf-8")
NAMED = {**main_keys(), **{name: keys for own in screen_keys().values() for name, keys in own.items()}}

PLAIN = {"up", "down", "left", "right", "pageup", "pagedown", "home", "end", "enter", "space", "k", "j", "q"}
"""Keys that move, choose and close the same way everywhere: they have no names."""
OF_THE_TREE = {"minus", "plus"}

SHOWN = {
    **{key: key for key in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"},
    "space": "space", "home": "Home", "end": "End", "enter": "Enter", "slash": "/", "question_mark": "?",
    "equals_sign": "=", "ctrl+p": "Ctrl+P", "ctrl+q": "Ctrl+Q", "ctrl+u": "Ctrl+U", "ctrl+d": "Ctrl+D",
    "pageup": "PgUp", "pagedown": "PgDn", "shift+up": "Shift+Up", "shift+down": "Shift+Up/Down",
    "up": "Up", "down": "Down", "left": "Left", "right": "Right",
}  # fmt: skip
"""How docs/console.md writes a key."""


def bindings() -> Iterator[tuple[str, Binding]]:
    """Every binding of a class of ours, and whose it is."""
    for module in pkgutil.walk_packages(audit_tui.__path__, "audit_tui."):
        if module.name.endswith("__main__"):
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, type) and value.__module__ == module.name:
                for binding in Binding.make_bindings(vars(value).get("BINDINGS", ())):
                    yield f"{module.name}.{name}", binding


def test_a_binding_has_a_name_by_which_it_is_remapped_or_a_key_that_is_the_same_everywhere() -> None:
    found: dict[str, set[str]] = defaultdict(set)
    for where, binding in bindings():
        if binding.key in FIXED_KEYS:
            continue
        if binding.id is None:
            assert binding.key in PLAIN | (OF_THE_TREE if where.endswith("JsonTree") else set()), (where, binding)
        else:
            assert binding.id in NAMED, (where, binding)
            found[binding.id].add(binding.key)
    assert found == {name: set(keys.split(",")) for name, keys in NAMED.items()}


def test_every_binding_is_described_for_the_help() -> None:
    assert [(where, binding.key) for where, binding in bindings() if not binding.description.strip()] == []


def test_the_page_names_every_binding_that_can_be_remapped_and_no_other() -> None:
    """The names stand in the paragraph about `[keys]`."""
    told = re.search(r"`cell-right`, `live`.*?\n\n", PAGE, re.DOTALL)
    assert told is not None
    start = PAGE.rindex("\n\n", 0, told.start())
    names = set(re.findall(r"`([a-z]+(?:-[a-z]+)*)`", PAGE[start : told.end()]))
    assert {name for name in NAMED if name not in names} == set()
    assert {name for name in names if "-" in name and name not in NAMED} == set()


def test_the_page_tells_the_keys_of_the_main_screen_and_no_others() -> None:
    (table,) = re.findall(r"(?:^\|.*\n)*^\| `b`, `v`, `a`, `A` \|.*\n(?:^\|.*\n)*", PAGE, re.MULTILINE)
    cells = "\n".join(line.split("|")[1] for line in table.splitlines())
    keys = {SHOWN[key] for text in main_keys().values() for key in text.split(",")}
    assert {key for key in keys if not re.search(rf"(?<!\w){re.escape(key)}(?!\w)", cells)} == set()
    assert set(re.findall(r"`(\S)`", cells)) - keys == set()
