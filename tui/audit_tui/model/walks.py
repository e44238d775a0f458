"""When the next verdict is due: asking for one must not keep a daemon busy with nothing else."""

from __future__ import annotations

__all__ = ["Walks"]

_SHARE_OF_TIME = 10
"""Verification fills at most one part in so many of the time."""

_LONGEST_CLAIM_S = 360.0
"""What a daemon may claim that a walk took, beyond what was measured: it must not talk its way out of the next."""


class Walks:
    """The walks over one log, one at a time, wanted every `every_s`. `now_s` is monotonic; no clock of its own."""

    def __init__(self, every_s: float) -> None:
        self.since_s: float | None = None
        """When the walk that runs was asked for; None while none does."""
        self._every_s = every_s
        self._took_s = 0.0
        self._next_s: float | None = None

    @property
    def period_s(self) -> float:
        """From the start of one walk to that of the next."""
        return max(self._every_s, self._took_s * _SHARE_OF_TIME)

    def next_in_s(self, now_s: float) -> float:
        """How long to wait before asking for the next; a whole period while one is under way."""
        if self.since_s is not None:
            return self.period_s
        return 0.0 if self._next_s is None else max(0.0, self._next_s - now_s)

    def begin(self, now_s: float) -> None:
        """A verdict was asked for."""
        self.since_s = now_s

    def end(self, now_s: float, claimed_s: float) -> None:
        """It came; `claimed_s` is what the daemon says that the walk took, 0 when it does not say."""
        began_s = now_s if self.since_s is None else self.since_s
        self.since_s = None
        self._took_s = max(now_s - began_s, min(claimed_s, _LONGEST_CLAIM_S), 0.0)
        self._next_s = began_s + self.period_s

    def fail(self, now_s: float) -> None:
        """None came: the next try is a whole period from now."""
        self.since_s = None
        self._next_s = now_s + self.period_s
