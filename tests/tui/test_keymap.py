"""Keys that a person remaps: what may be given to what, on which screen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from audit_tui.keymap import FIXED_KEYS, checked_keys, main_keys, screen_keys
from audit_tui.storage.config import FieldError, load

MAIN, OTHERS = main_keys(), screen_keys()


def test_two_bindings_can_swap_their_keys() -> None:
    assert checked_keys({"find": "q", "quit": "f"}) == {"find": "q", "quit": "f"}


def test_a_key_that_was_given_away_is_free_for_others() -> None:
    assert checked_keys({"quit": "ctrl+q", "find": "f,q"}) == {"quit": "ctrl+q", "find": "f,q"}


def test_a_key_that_is_written_twice_counts_once() -> None:
    assert checked_keys({"find": "f, f,ctrl+f"}) == {"find": "f,ctrl+f"}


def test_the_default_keys_are_valid_and_no_key_has_two_meanings() -> None:
    assert checked_keys(MAIN) == dict(MAIN)
    keys = [key for text in MAIN.values() for key in text.split(",")]
    assert len(keys) == len(set(keys))
    assert not FIXED_KEYS & set(keys)


def test_no_default_key_is_a_prefix_of_tmux_or_screen_or_needs_alt() -> None:
    text = ",".join(MAIN.values())
    assert not [key for key in text.split(",") if key in ("ctrl+a", "ctrl+b") or key.startswith("alt+")]


@pytest.mark.parametrize("screen", OTHERS)
def test_on_another_screen_too_no_key_has_two_meanings(screen: str) -> None:
    own = OTHERS[screen]
    assert checked_keys(own) == dict(own)
    with pytest.raises(FieldError, match="'C' is the key of copy-curl already"):
        checked_keys({next(iter(own)): "C"})


def test_a_key_may_mean_something_else_on_another_screen() -> None:
    assert checked_keys({"previous-event": "p", "handover-write": "f"}) == {
        "previous-event": "p",
        "handover-write": "f",
    }


@pytest.mark.parametrize(
    ("remapped", "owner"),
    [
        ({"next-cut": "e"}, "export"),
        ({"gone": "v"}, "verify"),
        ({"copy-value": "m"}, "mark"),
        ({"note-save": "d"}, "switch"),
    ],
)
def test_a_key_that_another_screen_has_from_the_main_one_is_not_free_there(
    remapped: dict[str, str], owner: str
) -> None:
    """The screen of vanished events exports too, that of integrity verifies."""
    with pytest.raises(FieldError, match=f"is the key of {owner}"):
        checked_keys(remapped)


def test_the_keys_of_every_screen_are_found() -> None:
    assert MAIN["live"] == "end,G"
    assert MAIN["help"] == "question_mark"
    assert OTHERS["ActivityPanel"] == {"activity-choose": "space,enter"}
    assert OTHERS["NoteScreen"] == {"note-save": "ctrl+s,f2"}
    assert OTHERS["IntegrityScreen"] == {"gone": "g"}
    assert len(OTHERS["DetailScreen"]) == 10
    assert set(OTHERS) == {
        "ActivityPanel", "CompareScreen", "DetailScreen", "GoneScreen", "HandoverScreen", "IntegrityScreen",
        "NamedFiltersScreen", "NoteScreen",
    }  # fmt: skip


def test_who_remaps_no_key_does_not_load_every_screen() -> None:
    program = "import sys, audit_tui.app, audit_tui.cli.app; sys.exit('audit_tui.keymap' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_settings_without_keys_do_not_ask_for_them(tmp_path: Path) -> None:
    (tmp_path / "tui.toml").write_text("utc = true")
    assert load(tmp_path / "tui.toml", lambda _: pytest.fail("asked")).utc
