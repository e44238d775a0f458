"""The badge in every theme: whatever it says can be read."""

from __future__ import annotations

import pytest
from rich.color import Color
from rich.color_triplet import ColorTriplet
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from textual.app import App, ComposeResult

from audit_tui.model.badge import Badge, State
from audit_tui.widgets.badge import MARKS, BadgeWidget
from audit_tui.widgets.legible import LEAST_CONTRAST, contrast, legible

XTERM = [(0, 0, 0), (205, 0, 0), (0, 205, 0), (205, 205, 0), (0, 0, 238), (205, 0, 205), (0, 205, 205), (229, 229, 229)]
XTERM_BRIGHT = [(127, 127, 127), *[(0, 0, 0)] * 6, (255, 255, 255)]
PALETTES = {
    "light": TerminalTheme((255, 255, 255), (0, 0, 0), XTERM, XTERM_BRIGHT),
    "dark": TerminalTheme((0, 0, 0), (255, 255, 255), XTERM, XTERM_BRIGHT),
}
BADGES = [
    Badge(state=state, text=state.value, detail="", is_alarm=is_alarm, is_acknowledged=state.is_red and not is_alarm)
    for state in State
    for is_alarm in ((False, True) if state.is_red else (False,))
]


class BadgesApp(App[None]):
    def compose(self) -> ComposeResult:
        for badge in BADGES:
            yield BadgeWidget(badge)

    def styles_of_texts(self) -> list[Style]:
        return [
            segment.style or Style()
            for widget in self.query(BadgeWidget)
            for segment in widget.render_line(0)
            if segment.text.strip()
        ]


def drawn_by(colour: Color | None, palette: TerminalTheme, *, is_text: bool) -> ColorTriplet:
    return (colour or Color.default()).get_truecolor(palette, foreground=is_text)


async def test_every_badge_can_be_read_in_every_theme() -> None:
    app = BadgesApp()
    async with app.run_test(size=(80, 24)) as pilot:
        for theme in app.available_themes:
            app.theme = theme
            await pilot.pause()
            styles = app.styles_of_texts()
            assert len(styles) == len(BADGES)
            for badge, style in zip(BADGES, styles, strict=True):
                for palette in PALETTES.values():
                    text = drawn_by(style.color, palette, is_text=True)
                    ground = drawn_by(style.bgcolor, palette, is_text=False)
                    assert contrast(text, ground) >= LEAST_CONTRAST, (theme, badge)


async def test_an_alarm_looks_other_than_what_was_acknowledged_in_every_theme() -> None:
    app = BadgesApp()
    async with app.run_test(size=(80, 24)) as pilot:
        for theme in app.available_themes:
            app.theme = theme
            await pilot.pause()
            by_badge = dict(
                zip([(badge.state, badge.is_alarm) for badge in BADGES], app.styles_of_texts(), strict=True)
            )
            for state in (State.BROKEN, State.REWRITTEN):
                assert by_badge[state, True] != by_badge[state, False], theme
                assert by_badge[state, True].reverse


def test_every_state_has_a_mark_of_one_cell() -> None:
    assert set(MARKS) == set(State)
    assert all(len(mark) == 1 for mark in MARKS.values())


@pytest.mark.parametrize(
    ("text", "ground", "ratio"),
    [((0, 0, 0), (255, 255, 255), 21.0), ((255, 255, 255), (0, 0, 0), 21.0), ((9, 9, 9), (9, 9, 9), 1.0)],
)
def test_contrast_is_that_of_wcag(text: tuple[int, int, int], ground: tuple[int, int, int], ratio: float) -> None:
    assert contrast(ColorTriplet(*text), ColorTriplet(*ground)) == pytest.approx(ratio)


def test_what_can_be_read_stays_as_it_is() -> None:
    for style in (Style.parse("black on white"), Style.parse("#000000 on #ffffff"), Style(), None):
        segment = Segment("x", style)
        assert legible(segment) is segment
