"""The screens for notes, daemons, the hand-over and named filters."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from textual.app import App
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input, OptionList, Static, TextArea

from audit_tui.screens.handover import HandoverScreen
from audit_tui.screens.named_filters import NamedFiltersScreen
from audit_tui.screens.note import NoteScreen
from audit_tui.screens.profiles import ProfilesScreen
from audit_tui.storage.marks import MAX_NOTE, Mark

HOSTILE = "[b]x[/b] \x1b[31m\u202e火"
SHOWN = "[b]x[/b] \\x1b[31m\\u202e火"


class OneScreen(App[None]):
    def __init__(self, shown: Screen[Any]) -> None:
        super().__init__()
        self.shown = shown
        self.results: list[Any] = []
        self.said_last = ""

    def on_mount(self) -> None:
        self.push_screen(self.shown, self.results.append)

    @property
    def said(self) -> str:
        return str(self.shown.query_one("#said", Static).content)

    @property
    def screen_text(self) -> str:
        return "\n".join("".join(segment.text for segment in strip) for strip in self.shown._compositor.render_strips())


Steps = Callable[[Pilot[None], OneScreen], Awaitable[None]]


async def nothing(pilot: Pilot[None], app: OneScreen) -> None:
    await pilot.pause()


def run(screen: Screen[Any], steps: Steps = nothing, *, size: tuple[int, int] = (80, 24)) -> OneScreen:
    app = OneScreen(screen)

    async def main() -> None:
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await steps(pilot, app)
            await app.workers.wait_for_complete()
            await pilot.pause()
            app.said_last = app.said if app.screen is screen else ""

    asyncio.run(main())
    return app


def pressing(*keys: str) -> Steps:
    async def press(pilot: Pilot[None], app: OneScreen) -> None:
        await pilot.press(*keys)
        await app.workers.wait_for_complete()
        await pilot.pause()

    return press


def mark(note: str = "") -> Mark:
    return Mark(hash="a" * 64, event_id=42, timestamp="t", kind=HOSTILE, source="s", url="http://a", note=note)


# Notes


@pytest.mark.parametrize("key", ["ctrl+s", "f2"])
def test_a_note_is_written_and_saved(key: str) -> None:
    assert run(NoteScreen(mark()), pressing(*"why", "enter", *"so", key)).results == ["why\nso"]


def test_a_note_is_written_on_at_its_end() -> None:
    assert run(NoteScreen(mark("one")), pressing("!", "ctrl+s")).results == ["one!"]


def test_escape_leaves_the_note_as_it_was() -> None:
    assert run(NoteScreen(mark("one")), pressing("x", "escape")).results == [None]


def test_an_emptied_note_is_empty_and_not_none() -> None:
    assert run(NoteScreen(mark("a")), pressing("backspace", "ctrl+s")).results == [""]


def test_a_note_that_is_too_long_is_not_saved() -> None:
    async def steps(pilot: Pilot[None], app: OneScreen) -> None:
        app.shown.query_one(TextArea).text = "x" * (MAX_NOTE + 3)
        await pilot.press("ctrl+s")
        await pilot.pause()
        assert app.said == "✗ 3 characters too long"
        app.shown.query_one(TextArea).text = "x" * (MAX_NOTE + 1)
        await pilot.pause()
        assert app.said == "✗ 1 character too long"
        app.shown.query_one(TextArea).text = "x" * MAX_NOTE
        await pilot.pause()
        assert app.said == "Ctrl+S or F2 saves · Escape leaves it as it was"

    assert run(NoteScreen(mark()), steps).results == []


def test_pasted_control_characters_are_escaped_in_a_note() -> None:
    async def steps(pilot: Pilot[None], app: OneScreen) -> None:
        app.shown.query_one(TextArea).text = f"{HOSTILE}\nb"
        await pilot.press("ctrl+s")

    assert run(NoteScreen(mark()), steps).results == [f"{SHOWN}\nb"]


# Daemons

KNOWN = {"prod": "http://10.0.0.5:8093", HOSTILE: "http://b", "http://recent:1": "http://recent:1"}


def test_an_address_is_typed_and_completed() -> None:
    assert run(ProfilesScreen({}), pressing(*"HOST:8093/events", "enter")).results == ["http://host:8093"]


def test_the_name_of_a_profile_is_typed() -> None:
    assert run(ProfilesScreen(KNOWN), pressing(*"prod", "enter")).results == ["http://10.0.0.5:8093"]


def test_a_known_daemon_is_chosen_from_the_list() -> None:
    screen = ProfilesScreen(KNOWN)
    assert run(screen, pressing("down", "end", "enter")).results == ["http://recent:1"]


def test_what_is_no_address_is_said_and_can_be_corrected() -> None:
    async def steps(pilot: Pilot[None], app: OneScreen) -> None:
        await pilot.press(*"ftp://x", "enter")
        await pilot.pause()
        assert app.said.startswith("✗ 'ftp://x' is no address of a daemon")
        app.shown.query_one(Input).value = "x"
        await pilot.pause()
        assert "✗" not in app.said
        await pilot.press("enter")

    assert run(ProfilesScreen({}), steps).results == ["http://x"]


def test_a_password_in_an_address_is_shown_to_nobody() -> None:
    async def steps(pilot: Pilot[None], app: OneScreen) -> None:
        await pilot.pause()
        assert "http://10.0.0.5:8093" in app.screen_text
        assert "secret" not in app.screen_text

    run(ProfilesScreen({"prod": "http://me:secret@10.0.0.5:8093"}), steps)


def test_a_profile_whose_address_is_wrong_says_so() -> None:
    async def steps(pilot: Pilot[None], app: OneScreen) -> None:
        await pilot.press(*"bad", "enter")
        await pilot.pause()
        assert app.said.startswith("✗")

    assert run(ProfilesScreen({"bad": "http://x?y"}), steps).results == []


def test_escape_chooses_no_daemon() -> None:
    assert run(ProfilesScreen(KNOWN), pressing("x", "escape")).results == [None]


def test_names_of_daemons_are_shown_as_text() -> None:
    async def steps(pilot: Pilot[None], app: OneScreen) -> None:
        await pilot.pause()
        assert SHOWN in app.screen_text.replace("火 ", "火")
        assert app.screen_text.count("http://recent:1") == 1

    run(ProfilesScreen(KNOWN), steps)


# The hand-over


def test_the_digest_is_shown_as_it_is() -> None:
    async def steps(pilot: Pilot[None], app: OneScreen) -> None:
        await pilot.pause()
        assert "# A [b]title[/b]" in app.screen_text

    run(HandoverScreen("# A [b]title[/b]\n"), steps)


def test_the_digest_is_copied() -> None:
    app = run(HandoverScreen("# A\n"), pressing("c"))
    assert app.clipboard == "# A\n"
    assert app.said_last == "✓ copied"


def test_the_digest_is_written_where_one_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("a.md")
    app = run(HandoverScreen("# Ä\n"), pressing("w", *"a.md", "enter"))
    assert path.read_bytes() == "# Ä\n".encode()
    assert app.said_last == f"✓ written to {path}"
    assert app.results == []


def test_a_hand_over_for_the_home_of_nobody_is_said_to_have_no_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app = run(HandoverScreen("text"), pressing("w", *"~nosuchuser/a", "enter"))
    assert "~nosuchuser" in app.said_last
    assert app.said_last.startswith("✗")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("enters", "content"), [(1, "old"), (2, "new")])
def test_an_existing_file_is_only_replaced_by_a_second_enter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, enters: int, content: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").write_text("old")

    async def steps(pilot: Pilot[None], app: OneScreen) -> None:
        await pilot.press("w", "a")
        for _ in range(enters):
            await pressing("enter")(pilot, app)

    said = run(HandoverScreen("new"), steps).said_last
    assert Path("a").read_text() == content
    assert ("is there already" in said) is (content == "old")


def test_another_path_is_asked_about_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").write_text("old")
    (tmp_path / "ab").write_text("old")

    async def steps(pilot: Pilot[None], app: OneScreen) -> None:
        for keys in (("w", "a", "enter"), ("b", "enter"), ("backspace", "enter")):
            await pressing(*keys)(pilot, app)
            assert "is there already" in app.said

    run(HandoverScreen("new"), steps)
    assert [(tmp_path / name).read_text() for name in ("a", "ab")] == ["old", "old"]


@pytest.mark.parametrize("path", ["/nowhere/at/all", "/", "~nobody-of-this-name/x", "a\0b"])
def test_a_path_that_cannot_be_written_is_said(path: str) -> None:
    async def steps(pilot: Pilot[None], app: OneScreen) -> None:
        await pilot.press("w")
        app.shown.query_one(Input).value = path
        await pressing("enter")(pilot, app)
        assert app.said.startswith(("✗", "/ is there already"))

    run(HandoverScreen("x"), steps)


def test_escape_leaves_the_path_and_then_the_digest() -> None:
    async def steps(pilot: Pilot[None], app: OneScreen) -> None:
        await pilot.press("w", "x", "escape")
        await pilot.pause()
        assert app.screen is app.shown
        await pilot.press("escape")

    assert run(HandoverScreen("x"), steps).results == [None]


# Named filters


class Saved:
    """Takes what is saved; the filter `fixed` comes from the settings."""

    def __init__(self, **filters: str) -> None:
        self.filters = filters

    def __call__(self, name: str, text: str | None) -> Mapping[str, str]:
        if text is None:
            self.filters.pop(name, None)
        else:
            self.filters[name] = text
        return {"fixed": "kind:fixed", **self.filters}

    def screen(self, current: str = "") -> NamedFiltersScreen:
        return NamedFiltersScreen({"fixed": "kind:fixed", **self.filters}, current, save=self)


def test_a_named_filter_is_chosen() -> None:
    assert run(Saved(a="kind:a").screen(), pressing("home", "enter")).results == ["kind:a"]
    assert run(Saved(z="kind:z").screen(), pressing("end", "enter")).results == ["kind:z"]


def test_the_present_filter_is_kept_under_a_name() -> None:
    saved = Saved()
    app = run(saved.screen("kind:now"), pressing("s", *"mine", "enter"))
    assert saved.filters == {"mine": "kind:now"}
    assert app.said_last == "✓ kept as mine"
    assert app.results == []


def test_a_filter_that_was_just_kept_can_be_chosen() -> None:
    async def steps(pilot: Pilot[None], app: OneScreen) -> None:
        await pressing("s", "b", "enter")(pilot, app)
        await pressing("enter")(pilot, app)

    assert run(Saved(a="kind:a").screen("kind:now"), steps).results == ["kind:now"]


def test_without_a_filter_there_is_nothing_to_keep() -> None:
    app = run(Saved().screen(" "), pressing("s", "x"))
    assert app.said_last.startswith("✗ there is no filter at present")


def test_a_named_filter_is_removed() -> None:
    saved = Saved(z="kind:z")

    async def steps(pilot: Pilot[None], app: OneScreen) -> None:
        await pressing("end", "delete")(pilot, app)
        assert app.said == "✓ z removed"
        assert app.shown.query_one(OptionList).option_count == 1

    run(saved.screen(), steps)
    assert saved.filters == {}


def test_a_filter_from_the_settings_is_not_removed_and_it_is_said_why() -> None:
    app = run(Saved().screen(), pressing("home", "delete"))
    assert app.said_last == "✗ fixed stands in the settings file: remove it there"


def test_delete_in_a_name_removes_no_filter() -> None:
    saved = Saved(z="kind:z")
    run(saved.screen("now"), pressing("end", "s", "delete"))
    assert saved.filters == {"z": "kind:z"}


def test_the_last_filter_can_be_removed_and_there_is_none_to_choose() -> None:
    filters = {"a": "x"}

    def save(name: str, text: str | None) -> Mapping[str, str]:
        filters.pop(name)
        return filters

    app = run(NamedFiltersScreen(filters, "", save=save), pressing("home", "delete", "enter", "delete"))
    assert app.results == []
    assert filters == {}


def test_escape_leaves_the_name_and_then_the_filters() -> None:
    async def steps(pilot: Pilot[None], app: OneScreen) -> None:
        await pilot.press("s", "x", "escape")
        await pilot.pause()
        assert app.screen is app.shown
        assert app.shown.query_one(Input).value == ""
        await pilot.press("escape")

    saved = Saved()
    assert run(saved.screen("now"), steps).results == [None]
    assert saved.filters == {}


def test_names_and_texts_of_filters_are_shown_as_text() -> None:
    async def steps(pilot: Pilot[None], app: OneScreen) -> None:
        await pilot.pause()
        assert SHOWN in app.screen_text.replace("火 ", "火")

    run(NamedFiltersScreen({HOSTILE: HOSTILE}, "", save=Saved()), steps)


@pytest.mark.parametrize("size", [(20, 5), (80, 24)])
@pytest.mark.parametrize(
    ("screen", "keys"),
    [
        (lambda: NoteScreen(mark()), ()),
        (lambda: ProfilesScreen(KNOWN), ()),
        (lambda: HandoverScreen("# A\n" * 100), ("w",)),
        (lambda: Saved(a="x", b="x", c="x", d="x").screen("kind:now"), ("s",)),
    ],
    ids=["note", "profiles", "handover", "named-filters"],
)
def test_what_is_typed_is_seen(screen: Callable[[], Screen[Any]], keys: tuple[str, ...], size: tuple[int, int]) -> None:
    async def steps(pilot: Pilot[None], app: OneScreen) -> None:
        await pressing(*keys, *"typed")(pilot, app)
        assert "typed" in app.screen_text

    run(screen(), steps, size=size)


@pytest.mark.parametrize("size", [(20, 5), (80, 24)])
def test_a_wrong_address_is_seen_to_be_wrong(size: tuple[int, int]) -> None:
    async def steps(pilot: Pilot[None], app: OneScreen) -> None:
        await pressing("?", "enter")(pilot, app)
        assert "✗" in app.screen_text

    run(ProfilesScreen(KNOWN), steps, size=size)


@pytest.mark.parametrize("size", [(20, 5), (80, 24), (200, 60)])
@pytest.mark.parametrize(
    ("screen", "keys"),
    [
        (lambda: NoteScreen(mark(HOSTILE)), ("x", "enter")),
        (lambda: ProfilesScreen(KNOWN), ("x", "enter", "down", "down")),
        (lambda: ProfilesScreen({}), ("down", "enter")),
        (lambda: HandoverScreen("# A\n" * 100), ("j", "k", "w", "x")),
        (lambda: Saved(**{HOSTILE: HOSTILE * 50}).screen("x"), ("down", "s", "x", "enter")),
    ],
    ids=["note", "profiles", "no-profiles", "handover", "named-filters"],
)
def test_it_works_at_every_size(
    screen: Callable[[], Screen[Any]], keys: tuple[str, ...], size: tuple[int, int]
) -> None:
    app = run(screen(), pressing(*keys), size=size)
    assert app.return_code in (0, None)
