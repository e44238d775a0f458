"""The console's keys by name, and the remapping of them that a person wrote."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

from audit_stream.errors import AuditStreamError

__all__ = ["DEFAULT_KEYS", "FIXED_KEYS", "SCREEN_KEYS", "KeymapError", "checked_keys"]

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
    "accept": "A",
    "mark": "m",
    "note": "M",
    "handover": "D",
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

SCREEN_KEYS: Mapping[str, Mapping[str, str]] = {
    "detail": {
        "detail-payload": "1",
        "detail-bytes": "2",
        "detail-hashes": "3",
        "previous-of-source": "left_square_bracket",
        "next-of-source": "right_square_bracket",
        "previous-of-value": "left_curly_bracket",
        "next-of-value": "right_curly_bracket",
        "previous-event": "comma",
        "next-event": "full_stop",
        "copy-value": "y",
    },
    "kinds and sources": {"activity-choose": "space,enter"},
    "named filters": {"filter-keep": "s", "filter-remove": "delete"},
    "note": {"note-save": "ctrl+s,f2"},
    "handover": {"handover-write": "w"},
    "compare": {"compare-again": "r"},
    "integrity": {"gone": "g"},
    "gone": {"next-cut": "n"},
}
"""Keys of the other screens, which may be those of the main screen with another meaning, but for `_SHARED`."""

_SHARED = ("copy", "copy-curl", "include", "exclude", "mark", "note", "help", "palette", "quit")
"""Of the main screen's, those that other screens have too."""

FIXED_KEYS = frozenset({"escape", "tab", "shift+tab", "ctrl+c"})
"""They leave a field, a screen or the console everywhere, and cannot be given to anything else."""

_MODIFIERS = {"ctrl", "shift", "alt", "super", "hyper", "meta"}


class KeymapError(AuditStreamError, ValueError):
    """A remapping that cannot be used; `field` is the binding id, the text says what to do."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


def checked_keys(remapped: Mapping[str, str]) -> dict[str, str]:
    """The remapping in Textual's names, for `App.set_keymap`. Raises KeymapError.

    A key that is given to one binding has to be taken from the one that has it, by giving that another key.
    """
    keys = {binding: _keys(binding, text) for binding, text in remapped.items()}
    _check_one_screen(keys, DEFAULT_KEYS)
    for own in SCREEN_KEYS.values():
        _check_one_screen(keys, {**{binding: DEFAULT_KEYS[binding] for binding in _SHARED}, **own})
    return {binding: ",".join(each) for binding, each in keys.items()}


def _check_one_screen(keys: Mapping[str, list[str]], defaults: Mapping[str, str]) -> None:
    everything = {binding: keys.get(binding, text.split(",")) for binding, text in defaults.items()}
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


def _keys(binding: str, text: str) -> list[str]:
    names = [*DEFAULT_KEYS, *(name for own in SCREEN_KEYS.values() for name in own)]
    if binding not in names:
        raise KeymapError(binding, f"there is no such binding: use one of {', '.join(names)}")
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
