"""docs/console.md says what there is: whatever is added and not written there fails here."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from audit_tui.keymap import checked_keys, main_keys, screen_keys
from audit_tui.model.badge import State
from audit_tui.model.columns import CHECK_MARKS
from audit_tui.storage.config import Config, Profile, load

PAGE = (Path(__file__).parent.parent.parent / "docs" / "console.md").read_text()
SAMPLE = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


def fields(type_: type[msgspec.Struct]) -> set[str]:
    return {field.name for field in msgspec.structs.fields(type_)}


@pytest.mark.parametrize("name", [*main_keys(), *(name for own in screen_keys().values() for name in own)])
def test_every_key_that_can_be_remapped_has_its_name_there(name: str) -> None:
    assert f"`{name}`" in PAGE


@pytest.mark.parametrize("state", State)
def test_every_state_of_the_badge_is_explained(state: State) -> None:
    assert re.search(rf"^\| `[✓✗]? ?(was )?{state.value}\b", PAGE, re.MULTILINE)


@pytest.mark.parametrize("mark", CHECK_MARKS.values())
def test_every_mark_of_the_gutter_is_explained(mark: str) -> None:
    assert f"\n| `{mark}` |" in PAGE


def test_the_settings_that_are_shown_are_all_there_are_and_can_be_used(tmp_path: Path) -> None:
    (sample,) = SAMPLE
    file = tmp_path / "tui.toml"
    file.write_text(sample)
    config = load(file, checked_keys)
    shown = {name for name in fields(Config) if getattr(config, name) not in (None, {})}
    assert shown == fields(Config)
    assert all(getattr(profile, name) is not None for profile in config.profiles.values() for name in fields(Profile))
