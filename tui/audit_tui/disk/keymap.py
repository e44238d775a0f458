"""The console's keys by name, and the remapping of them that a person wrote."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

__all__ = ["DEFAULT_KEYS", "FIXED_KEYS", "KeymapError", "checked_keys"]

DEFAULT_KEYS: Mapping[str, str] = {
    "up": "up,k",
    "down": "down,j",
    "page-up": "pageup,ctrl+u",
    "page-down": "pagedown,ctrl+d",
    "start": "home",
    "cell-left": "left,h",
    "cell-right": "right,l",
    "live": "end,G",
    "pause": "space",
    "filter": "slash",
    "find": "f",
    "find-next": "n",
    "find-previous": "N",
    "go-to": "g",
    "detail": "enter",
    "include": "i",
    "exclude": "x",
    "widen": "w",
    "named-filters": "F",
    "activity": "p",
    "integrity": "b",
    "verify": "v",
    "acknowledge": "a",
    "mark": "m",
    "note": "M",
    "digest": "D",
    "export": "e",
    "bundle": "E",
    "copy": "c",
    "copy-curl": "C",
    "switch": "d",
    "compare": "equals_sign",
    "time": "t",
    "columns": "o",
    "select": "s",
    "select-up": "shift+up",
    "select-down": "shift+down",
    "help": "question_mark",
    "palette": "ctrl+p",
    "quit": "q,ctrl+q",
}
"""Keys of the main screen by binding id, in Textual's names. None is a prefix of tmux or screen."""

FIXED_KEYS = frozenset({"escape", "tab", "shift+tab", "ctrl+c"})
"""They leave a field, a screen or the console everywhere, and cannot be given to anything else."""

_MODIFIERS = {"ctrl", "shift", "alt", "super", "hyper", "meta"}


class KeymapError(ValueError):
    """A remapping that cannot be used; `field` is the binding id, the text says what to do."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


def checked_keys(remapped: Mapping[str, str]) -> dict[str, str]:
    """The remapping in Textual's names, for `App.set_keymap`. Raises KeymapError.

    A key that is given to one binding has to be taken from the one that has it, by giving that another key.
    """
    keys = {binding: _keys(binding, text) for binding, text in remapped.items()}
    everything = {binding: text.split(",") for binding, text in DEFAULT_KEYS.items()} | keys
    owners: dict[str, str] = {}
    for binding in sorted(everything, key=lambda each: each in keys):  # what was remapped last, to be the one named
        for key in everything[binding]:
            if key in FIXED_KEYS:
                raise KeymapError(
                    binding, f"{key!r} leaves fields and screens and cannot be remapped: choose another key"
                )
            owner = owners.setdefault(key, binding)
            if owner != binding:
                raise KeymapError(
                    binding, f"{key!r} is the key of {owner} already: choose another, or give {owner} another in [keys]"
                )
    return {binding: ",".join(each) for binding, each in keys.items()}


def _keys(binding: str, text: str) -> list[str]:
    if binding not in DEFAULT_KEYS:
        raise KeymapError(binding, f"there is no such binding: use one of {', '.join(DEFAULT_KEYS)}")
    return list(dict.fromkeys(_key(binding, part.strip()) for part in text.split(",")))


def _key(binding: str, text: str) -> str:
    """A key in Textual's name for it. `shift+g` is `G`: terminals send a capital."""
    from textual.keys import _character_to_key  # the app has it loaded anyway

    *modifiers, name = text.split("+") if len(text) > 1 else [text]
    if not set(modifiers) <= _MODIFIERS or not _is_key(name):
        raise KeymapError(
            binding, f"{text[:40]!r} is no key: write one such as 'f', 'F', 'ctrl+f', 'f5', 'slash' or 'comma'"
        )
    if modifiers == ["shift"] and len(name) == 1 and name.isalpha():
        return name.upper()
    key = _character_to_key(name) if len(name) == 1 else name
    return "+".join([*modifiers, key])


def _is_key(name: str) -> bool:
    from textual.keys import KEY_NAME_REPLACEMENTS, Keys

    if len(name) == 1:
        return name.isprintable() and name != " "
    if name in {key.value for key in Keys} or name in KEY_NAME_REPLACEMENTS.values():
        return True
    try:
        unicodedata.lookup(name.replace("_", " ").upper())
    except KeyError:
        return False
    return True
