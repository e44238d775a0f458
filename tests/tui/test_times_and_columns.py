"""The column of times in each of its formats, and severities that only the daemon knows of."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from rich.style import Style

from audit_stream.client import RawEvent, Stats
from audit_stream.kinds import DEFAULT_KINDS, Severity
from audit_tui.clock import Clock
from audit_tui.model.columns import time_text
from audit_tui.model.rows import Row, read_row
from tests.tui.fake_log import START_MS, FakeLog, make_log, tampered
from tests.tui.test_main_screen import Console, console

STAMPED = "2026-05-28T20:26:41.007+00:00"
STAMPED_MS = START_MS + 1_007


@pytest.fixture
def far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A local time that is five hours and a half ahead."""
    monkeypatch.setenv("TZ", "IST-5:30")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def row_of(timestamp: str) -> Row:
    return read_row(RawEvent(tampered(make_log(1).raw[0], timestamp=timestamp)), DEFAULT_KINDS)


# Times


@pytest.mark.parametrize(
    ("time_format", "text"),
    [
        ("local", "01:56:41.007"),
        ("utc", "20:26:41.007Z"),
        ("relative", "2 min ago"),
        ("full", "2026-05-28T20:26:41.007Z"),
    ],
)
@pytest.mark.parametrize("timestamp", [STAMPED, "2026-05-28T22:26:41.007+02:00", "2026-05-28T20:26:41.007Z"])
def test_a_timestamp_is_the_same_instant_in_every_format(
    far_from_utc: None, timestamp: str, time_format: str, text: str
) -> None:
    assert time_text(row_of(timestamp), time_format, STAMPED_MS + 125_000) == text


@pytest.mark.parametrize(
    ("later_ms", "text"),
    [
        (-5_000, "now"),
        (0, "now"),
        (59_999, "59 s ago"),
        (3_599_999, "59 min ago"),
        (7_200_000, "2 h ago"),
        (4 * 86_400_000, "4 d ago"),
    ],
)
def test_an_age_is_in_its_largest_unit_and_never_negative(later_ms: int, text: str) -> None:
    assert time_text(row_of(STAMPED), "relative", STAMPED_MS + later_ms) == text


@pytest.mark.parametrize("time_format", ["local", "utc", "relative", "full"])
def test_a_timestamp_that_is_none_is_shown_as_it_is_and_safe(time_format: str) -> None:
    assert time_text(row_of("yesterday\x1b[31m"), time_format, START_MS) == "yesterday\\x1b[31m"


async def test_the_key_for_times_goes_through_local_utc_relative_and_with_date(
    tmp_path: Path, far_from_utc: None
) -> None:
    clock = Clock(now_s=time.monotonic, now_ms=lambda: START_MS + 4_000 + 180_000)
    async with console(make_log(5), tmp_path, clock=clock) as seen:
        await seen.until(lambda: seen.cursor == 5)
        shown = {"local": "01:56:44.000", "utc": "20:26:44.000Z"}
        shown |= {"relative": "3 min ago", "full": "2026-05-28T20:26:44.000Z", "again": "01:56:44.000"}
        for name, text in shown.items():
            assert seen.lines[5].startswith(f"│     5 {text} ")
            await seen.keys("t")
            assert name == "full" or seen.lines[5].split()[2] != text.split()[0]


async def test_ages_grow_though_nothing_comes_in(tmp_path: Path) -> None:
    now_ms = START_MS + 10_000
    clock = Clock(now_s=time.monotonic, now_ms=lambda: now_ms)
    async with console(make_log(5), tmp_path, clock=clock) as seen:
        await seen.until(lambda: seen.cursor == 5)
        await seen.keys("t", "t")
        await seen.until(lambda: any(" 6 s ago " in line for line in seen.drawn))
        now_ms += 3_600_000
        await seen.until(lambda: any(" 1 h ago " in line for line in seen.drawn))


# Severities


class DeclaringLog(FakeLog):
    """A daemon whose operator has added kinds and changed one; `declared` is what it says of them."""

    declared: dict[str, str] = {}  # noqa: RUF012 - each test sets its own

    async def stats(self) -> Stats:
        return msgspec.structs.replace(await super().stats(), severities=self.declared)


def declaring(**declared: str) -> DeclaringLog:
    """Two rounds of events: one of each kind, and one that the cursor is on, so that the others keep their colours."""
    log = DeclaringLog([])
    log.declared = declared
    for kind in ("breaker_opened", "request_denied", "quota_exceeded", "quota_reset", "other", "request_allowed"):
        log.append(kind, "gateway")
    return log


def style_of(seen: Console, kind: str) -> Style | None:
    """In which the table draws a kind."""
    table = seen.main.table
    strips = [table.render_line(y) for y in range(1, table.size.height)]
    return next(segment.style for strip in strips for segment in strip if segment.text.rstrip() == kind)


def line_of(seen: Console, kind: str) -> str:
    return next(line for line in seen.lines if f" {kind} " in line)


async def test_a_kind_is_marked_and_coloured_by_the_severity_that_the_daemon_declares(tmp_path: Path) -> None:
    async with console(declaring(quota_exceeded="critical", other="warning"), tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 6)
        assert " ‼ CRIT quota_exceeded " in line_of(seen, "quota_exceeded")
        assert " ! WARN other " in line_of(seen, "other")
        assert "   info quota_reset " in line_of(seen, "quota_reset")
        assert style_of(seen, "quota_exceeded") == style_of(seen, "breaker_opened")
        assert style_of(seen, "other") == style_of(seen, "request_denied")
        assert style_of(seen, "quota_exceeded") != style_of(seen, "quota_reset")


async def test_a_declared_severity_counts_for_filters_and_for_the_worst_that_came_while_paused(tmp_path: Path) -> None:
    log = declaring(quota_exceeded="critical")
    async with console(log, tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 6)
        seen.main.filters.apply("severity:critical")
        await seen.until(lambda: seen.ids == [1, 3])
        await seen.keys("up")
        log.append("quota_exceeded", "gateway")
        await seen.until(lambda: seen.main.session.view.worst is Severity.CRITICAL)


async def test_a_severity_that_the_console_does_not_know_is_no_reason_to_show_nothing(tmp_path: Path) -> None:
    async with console(declaring(quota_exceeded="catastrophic"), tmp_path) as seen:
        await seen.until(lambda: seen.cursor == 6 and "live" in seen.status)
        assert "   info quota_exceeded " in line_of(seen, "quota_exceeded")
