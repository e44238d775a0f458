"""How many events came in lately: counts by the second over the last hour."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["WINDOWS_S", "Rates"]

WINDOWS_S = {"1m": 60, "5m": 300, "1h": 3600}


class Rates:
    """A ring of one count a second. Memory is constant; a daemon that has run shorter than a window says less."""

    def __init__(self, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._counts = [0] * max(WINDOWS_S.values())
        self._second = int(clock_s())
        self._started_s = clock_s()

    def add(self, count: int) -> None:
        """Count events that came in now."""
        self._advance()
        self._counts[self._second % len(self._counts)] += count

    def per_second(self) -> dict[str, float]:
        """The mean rate over each window, or since the start where that is shorter."""
        self._advance()
        age_s = max(1.0, self._clock_s() - self._started_s)
        return {
            name: round(
                sum(self._counts[(self._second - back) % len(self._counts)] for back in range(window_s))
                / min(window_s, age_s),
                3,
            )
            for name, window_s in WINDOWS_S.items()
        }

    def _advance(self) -> None:
        now = int(self._clock_s())
        for second in range(max(self._second + 1, now - len(self._counts) + 1), now + 1):
            self._counts[second % len(self._counts)] = 0
        self._second = now
