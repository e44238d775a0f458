"""Rates over the last minute, five minutes and hour, with a clock that the test turns."""

from __future__ import annotations

import pytest

from audit_daemon.rates import WINDOWS_S, Rates


class Clock:
    """Seconds since some moment."""

    def __init__(self, now_s: float = 1_000_000.25) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rates(clock: Clock) -> Rates:
    return Rates(clock_s=clock)


def test_windows_are_a_minute_five_minutes_and_an_hour() -> None:
    assert WINDOWS_S == {"1m": 60, "5m": 300, "1h": 3600}


def test_nothing_came_in_at_first(rates: Rates) -> None:
    assert rates.per_second() == {"1m": 0, "5m": 0, "1h": 0}


def test_a_young_daemon_divides_by_its_age(rates: Rates, clock: Clock) -> None:
    rates.add(100)
    clock.now_s += 10
    assert rates.per_second() == {"1m": 10, "5m": 10, "1h": 10}


def test_an_age_of_less_than_a_second_counts_as_one(rates: Rates, clock: Clock) -> None:
    clock.now_s += 0.01
    rates.add(100)
    assert rates.per_second()["1m"] == 100


def test_each_window_divides_by_its_own_length(rates: Rates, clock: Clock) -> None:
    clock.now_s += 7200
    rates.add(3600)
    assert rates.per_second() == {"1m": 60, "5m": 12, "1h": 1}


def test_a_steady_rate_is_the_same_in_every_window(rates: Rates, clock: Clock) -> None:
    for _ in range(4000):
        clock.now_s += 1
        rates.add(5)
    assert rates.per_second() == {"1m": 5, "5m": 5, "1h": 5}


@pytest.mark.parametrize(("window", "length_s"), WINDOWS_S.items())
def test_events_leave_a_window_after_its_length(rates: Rates, clock: Clock, window: str, length_s: int) -> None:
    clock.now_s += 10_000
    rates.add(length_s)
    clock.now_s += length_s - 1
    assert rates.per_second()[window] == 1
    clock.now_s += 1
    assert rates.per_second()[window] == 0


def test_additions_within_one_second_add_up(rates: Rates, clock: Clock) -> None:
    clock.now_s += 5000
    rates.add(30)
    clock.now_s += 0.5
    rates.add(30)
    assert rates.per_second()["1m"] == 1


@pytest.mark.parametrize("pause_s", [3600, 3601, 86_400, 10_000_000])
def test_a_long_pause_forgets_everything(rates: Rates, clock: Clock, pause_s: int) -> None:
    for _ in range(100):
        clock.now_s += 1
        rates.add(1000)
    clock.now_s += pause_s
    assert rates.per_second() == {"1m": 0, "5m": 0, "1h": 0}
    rates.add(60)
    assert rates.per_second()["1m"] == 1


def test_an_hour_in_which_every_second_had_events_is_counted_whole(rates: Rates, clock: Clock) -> None:
    clock.now_s += 3600
    for _ in range(3600):
        clock.now_s += 1
        rates.add(1)
    assert rates.per_second()["1h"] == 1
