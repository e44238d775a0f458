"""Find within what is shown."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from audit_tui.model.find import Finder


def test_lower_case_is_found_in_any_case() -> None:
    assert Finder("deny").spans("DENY Deny deny") == [(0, 4), (5, 9), (10, 14)]


def test_an_upper_case_letter_makes_case_count() -> None:
    assert Finder("Deny").spans("DENY Deny deny") == [(5, 9)]


def test_the_text_is_no_pattern() -> None:
    assert not Finder("a.c*").matches("abcc")
    assert Finder("a.c*").matches("xa.c*x")


def test_the_empty_text_is_found_nowhere() -> None:
    assert not Finder("").matches("anything")
    assert Finder("").spans("anything") == []


@given(st.text("aAbß(.é", max_size=4), st.text("aAbß(.é", max_size=12))
def test_spans_ascend_without_overlap_and_exist_exactly_when_it_matches(text: str, haystack: str) -> None:
    finder = Finder(text)
    spans = finder.spans(haystack)
    assert finder.matches(haystack) is bool(spans)
    assert all(haystack[start:end].lower() == text.lower() for start, end in spans)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))
