"""RFC 3339 instants, read and written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_stream.errors import TimestampError
from audit_stream.timestamps import format_rfc3339_ms, parse_rfc3339_ms, time_ms_or_none

FIRST_MS = parse_rfc3339_ms("0001-01-01T00:00:00Z")
LAST_MS = parse_rfc3339_ms("9999-12-31T23:59:59.999Z")


@given(time_ms=st.integers(FIRST_MS, LAST_MS))
def test_what_is_written_is_read_back(time_ms: int) -> None:
    text = format_rfc3339_ms(time_ms)
    assert parse_rfc3339_ms(text) == time_ms
    assert len(text) == 29
    assert text.endswith("+00:00")
    assert datetime.fromisoformat(text) == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)


@given(
    moment=st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)),  # noqa: DTZ001 - the offset is drawn beside it
    offset_min=st.integers(-1_439, 1_439),
    digits=st.integers(0, 9),
)
def test_an_instant_is_what_the_standard_library_reads_rounded_down(
    moment: datetime, offset_min: int, digits: int
) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=offset_min)))
    whole = aware.replace(microsecond=0)
    fraction = f"{moment.microsecond:06}000"[:digits]
    head, offset = whole.isoformat()[:19], whole.isoformat()[19:]
    text = f"{head}.{fraction}{offset}" if fraction else head + offset
    expected = (whole - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert parse_rfc3339_ms(text) == expected + int(fraction[:3].ljust(3, "0") or 0)


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00z", 0),
        ("1970-01-01T00:00:00-00:00", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T23:59:59.999Z", -1),
        ("1969-12-31T23:59:59.9999999Z", -1),
        ("1970-01-01T00:00:00.5Z", 500),
        ("1970-01-01T00:00:00.000999Z", 0),
        ("1970-01-01T00:00:00." + "1" * 30 + "Z", 111),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000),
        ("2016-12-31T23:59:60.250Z", 1_483_228_800_250),
        ("2017-01-01T05:29:60+05:30", 1_483_228_800_000),
        ("2024-02-29T12:00:00Z", 1_709_208_000_000),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000),
        ("0001-01-01T00:00:00+23:59", -62_135_596_800_000 - 1_439 * 60_000),
        ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
        ("9999-12-31T23:59:59-23:59", 253_402_300_799_000 + 1_439 * 60_000),
    ],
)
def test_an_instant_of_rfc_3339_is_its_milliseconds_since_1970(text: str, time_ms: int) -> None:
    assert parse_rfc3339_ms(text) == time_ms


@pytest.mark.parametrize(
    "text",
    [
        *["", "now", "2026-05-15", "2026-05-15T03:14Z", "2026-05-15T03:14:15", "2026-05-15 03:14:15Z"],
        *["2026-05-15T03:14:15+0000", "2026-05-15T03:14:15+00", "2026-05-15T03:14:15+24:00"],
        *["2026-05-15T03:14:15+00:60", "2026-05-15T03:14:15,5Z", "2026-05-15T03:14:15.Z", "20260515T031415Z"],
        *["2026-W20-5T03:14:15Z", "2026-135T03:14:15Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z"],
        *["2026-02-29T00:00:00Z", "2026-05-32T00:00:00Z", "2026-05-15T24:00:00Z", "2026-05-15T03:60:00Z"],
        *["2026-05-15T03:14:61Z", "0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z", "-001-01-01T00:00:00Z"],
        *[" 2026-05-15T03:14:15Z", "2026-05-15T03:14:15Z ", "2026-05-15T03:14:15Z\n", "٢٠٢٦-05-15T03:14:15Z"],
        *["2026-05-15T03:14:15\u2212" + "01:00", "2026-05-15T03:14:15." + "1" * 31 + "Z", "2026-05-15T03:14:15Z\x00"],
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(TimestampError):
        parse_rfc3339_ms(text)


@given(text=st.text() | st.from_regex(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", fullmatch=True))
def test_any_text_is_an_instant_or_refused(text: str) -> None:
    try:
        time_ms = parse_rfc3339_ms(text)
    except TimestampError:
        return
    assert FIRST_MS - 86_400_000 <= time_ms <= LAST_MS + 86_401_000


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-02-30T00:00:00Z", "2026-05-15T00:00:00", "٢٠٢٦-05-15T00:00:00Z"]
)
def test_a_text_that_is_no_instant_has_no_time(text: str) -> None:
    assert time_ms_or_none(text) is None


def test_an_instant_has_the_time_that_it_is_read_as() -> None:
    assert time_ms_or_none("1970-01-01T00:00:01Z") == 1000
