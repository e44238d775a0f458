from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_tui.model.places import GoTo, PlaceError, parse_place


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


NOW_MS = ms("2026-05-15T12:30:00+00:00")


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("42", GoTo(event_id=42)),
        (" #42 ", GoTo(event_id=42)),
        ("1,234,567", GoTo(event_id=1_234_567)),
        ("9" * 18, GoTo(event_id=10**18 - 1)),
        ("start", GoTo(event_id=1)),
        ("END", GoTo()),
    ],
)
def test_events_and_ends(text: str, place: GoTo) -> None:
    assert parse_place(text, now_ms=NOW_MS) == place


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("12:01", "2026-05-15T12:01:00+00:00"),
        ("9:05", "2026-05-15T09:05:00+00:00"),
        ("12:01:03", "2026-05-15T12:01:03+00:00"),
        ("12:01:03.5", "2026-05-15T12:01:03.500+00:00"),
        ("12:31", "2026-05-14T12:31:00+00:00"),
        ("today 12:31", "2026-05-15T12:31:00+00:00"),
        ("yesterday 12:00", "2026-05-14T12:00:00+00:00"),
        ("yesterday", "2026-05-14T00:00:00+00:00"),
        ("2026-05-01", "2026-05-01T00:00:00+00:00"),
        ("2026-05-01T12:01", "2026-05-01T12:01:00+00:00"),
        ("2026-05-01 12:01:03", "2026-05-01T12:01:03+00:00"),
        ("2026-05-01T12:01:03.250Z", "2026-05-01T12:01:03.250+00:00"),
        ("2026-05-01T12:01+02:00", "2026-05-01T10:01:00+00:00"),
        ("-15m", "2026-05-15T12:15:00+00:00"),
        ("-90s", "2026-05-15T12:28:30+00:00"),
        ("-2h", "2026-05-15T10:30:00+00:00"),
        ("-7d", "2026-05-08T12:30:00+00:00"),
    ],
)
def test_times_in_utc(text: str, at: str) -> None:
    assert parse_place(text, now_ms=NOW_MS, utc=True) == GoTo(at_ms=ms(at))


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("12:01", "2026-05-15T12:01:00+02:00"),
        ("14:31", "2026-05-14T14:31:00+02:00"),
        ("yesterday 1:00", "2026-05-14T01:00:00+02:00"),
        ("2026-01-01T12:01", "2026-01-01T12:01:00+01:00"),
        ("2026-01-01T12:01Z", "2026-01-01T12:01:00+00:00"),
    ],
)
def test_times_without_an_offset_are_local(text: str, at: str) -> None:
    assert parse_place(text, now_ms=NOW_MS) == GoTo(at_ms=ms(at))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "write an event id"),
        ("0", "start at 1"),
        ("9" * 19, "such as 42"),
        ("²", "such as 42"),
        ("24:00", "no such time of day"),
        ("12:60", "no such time of day"),
        ("2026-02-30", "no such date"),
        ("2026-02-03T25:00", "no such time of day"),
        ("2026-02-03T12:00+99:00", "no such offset"),
        ("-999999999d", "too long ago"),
        ("15m", "such as -15m"),
        ("tomorrow", "such as 42"),
    ],
)
def test_what_is_no_place_says_what_to_write(text: str, words: str) -> None:
    with pytest.raises(PlaceError, match=words):
        parse_place(text, now_ms=NOW_MS)


@given(
    text=st.text(st.sampled_from("0123456789:-+T Z.,#smhdyesterday²٣"), max_size=24) | st.text(max_size=12),
    utc=st.booleans(),
)
def test_a_text_is_a_place_or_a_place_error(text: str, utc: bool) -> None:
    try:
        place = parse_place(text, now_ms=NOW_MS, utc=utc)
    except PlaceError:
        pass
    else:
        assert place.event_id is None or place.at_ms is None


@given(at=st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2200, 1, 1)))  # noqa: DTZ001 - made UTC below
def test_an_instant_is_found_again(at: datetime) -> None:
    at = at.replace(microsecond=0, tzinfo=UTC)
    assert parse_place(at.isoformat(), now_ms=NOW_MS) == GoTo(at_ms=int(at.timestamp()) * 1000)
