"""The keys by the ids of the bindings that have them, and the remapping of them that a person wrote.

This imports every screen, to see its BINDINGS: import it only where there are keys to check.
"""

from __future__ import annotations

import importlib
import pkgutil
import unicodedata
from collections.abc import Iterator, Mapping

from textual.binding import Binding
from textual.dom import DOMNode
from textual.keys import KEY_NAME_REPLACEMENTS, Keys

from audit_tui import screens, widgets
from audit_tui.app import ConsoleApp
from audit_tui.screens.main import MainScreen
from audit_tui.storage.config import FieldError
from audit_tui.widgets.event_table import EventTable

__all__ = ["FIXED_KEYS", "checked_keys", "main_keys", "screen_keys"]

FIXED_KEYS = frozenset({"escape", "tab", "shift+tab", "ctrl+c"})
"""They leave a field, a screen or the console everywhere, and cannot be given to anything else."""

_MAIN = (ConsoleApp, MainScreen, EventTable)
_MODIFIERS = {"ctrl", "shift", "alt", "super", "hyper", "meta"}


def main_keys() -> dict[str, str]:
    """The keys of the main screen by binding id, in Textual's names."""
    return {name: keys for node in _MAIN for base in node.__mro__ for name, keys in _named(base).items()}


def screen_keys() -> dict[str, dict[str, str]]:
    """Those that each other screen or panel, by its class, has for itself."""
    main = main_keys()
    own = {node.__name__: {name: keys for name, keys in _named(node).items() if name not in main} for node in _others()}
    return {name: keys for name, keys in own.items() if keys}


def checked_keys(remapped: Mapping[str, str]) -> dict[str, str]:
    """The remapping in Textual's names, for `App.set_keymap`. Raises FieldError, which says what to do.

    A key that is given to one binding has to be taken from the one that has it, by giving that another key. Other
    screens may use keys of the main screen with another meaning, but for those whose bindings they have too.
    """
    main, others = main_keys(), screen_keys()
    names = [*main, *(name for own in others.values() for name in own)]
    for binding in remapped:
        if binding not in names:
            raise _wrong(binding, f"there is no such binding: use one of {', '.join(names)}")
    keys = {binding: _keys(binding, text) for binding, text in remapped.items()}
    _check_one_screen(keys, main)
    shared = {*_named(ConsoleApp), *(name for node in _others() for name in _named(node))} & set(main)
    for own in others.values():
        _check_one_screen(keys, {**{binding: main[binding] for binding in shared}, **own})
    return {binding: ",".join(each) for binding, each in keys.items()}


def _named(node: type) -> dict[str, str]:
    """The keys of the bindings that a class itself declares under an id."""
    named: dict[str, list[str]] = {}
    for binding in Binding.make_bindings(vars(node).get("BINDINGS", ())):
        if binding.id is not None and node.__module__.startswith("audit_tui."):
            named.setdefault(binding.id, []).append(binding.key)
    return {name: ",".join(keys) for name, keys in named.items()}


def _others() -> Iterator[type[DOMNode]]:
    """The screens and widgets that are no part of the main screen."""
    main = {base for node in _MAIN for base in node.__mro__}
    for package in (screens, widgets):
        for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            module = importlib.import_module(found.name)
            for node in vars(module).values():
                if isinstance(node, type) and node.__module__ == module.__name__ and node not in main:
                    yield node


def _check_one_screen(keys: Mapping[str, list[str]], defaults: Mapping[str, str]) -> None:
    everything = {binding: keys.get(binding, text.split(",")) for binding, text in defaults.items()}
    owners: dict[str, str] = {}
    order = {binding: place for place, binding in enumerate(keys)}
    for binding in sorted(everything, key=lambda each: order.get(each, -1)):  # the remapping that came last is named
        for key in everything[binding]:
            if key in FIXED_KEYS:
                raise _wrong(binding, f"{key!r} leaves fields and screens and cannot be remapped: choose another key")
            owner = owners.setdefault(key, binding)
            if owner != binding:
                raise _wrong(
                    binding, f"{key!r} is the key of {owner} already: choose another, or give {owner} another in [keys]"
                )


def _keys(binding: str, text: str) -> list[str]:
    return list(dict.fromkeys(_key(binding, part.strip()) for part in text.split(",")))


def _key(binding: str, text: str) -> str:
    """A key in Textual's name for it. `shift+g` is `G`: terminals send a capital."""
    *modifiers, name = text.split("+") if len(text) > 1 else [text]
    if not set(modifiers) <= _MODIFIERS or not _is_key(name):
        raise _wrong(
            binding, f"{text[:40]!r} is no key: write one such as 'f', 'F', 'ctrl+f', 'f5', 'slash' or 'comma'"
        )
    if modifiers == ["shift"] and len(name) == 1 and name.isalpha():
        return name.upper()
    if len(name) == 1:
        (name,) = (each.key for each in Binding.make_bindings([(name, "", "")]))
    return "+".join([*modifiers, name])


def _is_key(name: str) -> bool:
    if len(name) == 1:
        return name.isprintable() and name != " "
    if name in {key.value for key in Keys} or name in KEY_NAME_REPLACEMENTS.values():
        return True
    try:
        unicodedata.lookup(name.replace("_", " ").upper())
    except KeyError:
        return False
    return True


def _wrong(binding: str, reason: str) -> FieldError:
    return FieldError(f"keys.{binding[:80]}: {reason}")
