from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from audit_stream.display import safe
from audit_tui.text import ago, duration, fit, in_columns, short_count

_AWKWARD = st.lists(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from(["\u0301", "\u20e3", "\ufe0f", "\u200d", "漢", "👩", "❤", "🇩", "a", " ", "\u0e33"]),
    )
).map("".join)


@given(text=_AWKWARD.map(safe), width=st.integers(-3, 60))
def test_fit_gives_exactly_the_width_in_cells(text: str, width: int) -> None:
    assert cell_len(fit(text, width)) == max(0, width)


@given(text=_AWKWARD.filter(lambda text: not text.isascii()), width=st.integers(0, 60))
def test_fit_gives_exactly_the_width_even_when_joiners_and_the_like_were_not_escaped(text: str, width: int) -> None:
    assert cell_len(fit(text, width)) == width


@given(text=_AWKWARD.map(safe), width=st.integers(1, 60))
def test_fit_keeps_the_beginning_and_shows_a_cut(text: str, width: int) -> None:
    shown = fit(text, width)
    if shown.rstrip(" ") != text.rstrip(" "):
        kept, ellipsis, padding = shown.rpartition("…")
        assert ellipsis
        assert text.startswith(kept)
        assert len(kept) < len(text)
        assert padding in ("", " ")


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("abc", 5, "abc  "),
        ("abcdef", 6, "abcdef"),
        ("abcdef", 5, "abcd…"),
        ("abc", 1, "…"),
        ("", 3, "   "),
        ("漢字", 4, "漢字"),
        ("漢字", 3, "漢…"),
        ("漢字漢", 4, "漢… "),
        ("e\u0301e\u0301e\u0301", 3, "e\u0301e\u0301e\u0301"),
        ("e\u0301e\u0301e\u0301", 2, "e\u0301…"),
    ],
)
def test_fit_cuts_between_characters(text: str, width: int, shown: str) -> None:
    assert fit(text, width) == shown


def test_fit_bounds_the_marks_that_are_stacked_on_one_character() -> None:
    shown = fit("a" + "\u0301" * 10_000, 4)
    assert sum(unicodedata.combining(char) > 0 for char in shown) < 40
    assert cell_len(shown) == 4


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, "0"),
        (999, "999"),
        (9_999, "9,999"),
        (10_000, "10.0k"),
        (12_345, "12.3k"),
        (99_999, "99.9k"),
        (123_456, "123k"),
        (999_999, "999k"),
        (1_000_000, "1.0M"),
        (12_345_678, "12.3M"),
        (5_000_000_000, "5.0G"),
        (7_000_000_000_000, "7.0T"),
    ],
)
def test_a_count_is_short_and_never_more_than_it_is(number: int, shown: str) -> None:
    assert short_count(number) == shown


@given(st.integers(0, 10**15 - 1))
def test_a_count_takes_at_most_five_cells(number: int) -> None:
    assert len(short_count(number)) <= 5


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 ms"),
        (-5, "0 ms"),
        (0.25, "250 ms"),
        (1, "1 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3_599, "59 min"),
        (3_600, "1 h"),
        (47.5 * 3_600, "47 h"),
        (48 * 3_600, "2 d"),
    ],
)
def test_a_duration_is_said_in_its_largest_unit(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(-3, "now"), (0.9, "now"), (12, "12 s ago"), (180, "3 min ago"), (7_300, "2 h ago")]
)
def test_ago_says_how_long_it_was(seconds: float, shown: str) -> None:
    assert ago(seconds) == shown


def test_names_and_what_they_stand_for_stand_in_columns() -> None:
    assert in_columns([("a", "x"), ("学生", "y"), ("a" * 30, "z"), ("a", "x")]) == [
        "a     x",
        "学生  y",
        f"{'a' * 30}  z",
        "a     x",
    ]
    assert in_columns([]) == []
