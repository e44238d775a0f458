"""The verdicts on one log: who gives them, the latest, the last that agrees with this console, when the next is due."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from audit_stream.chain import Head, Verdict
from audit_tui.log import is_address
from audit_tui.model.findings import Moment

__all__ = ["DAEMON", "FILE", "ReceivedVerdict", "Verdicts", "Verification", "Verifier", "verifier_of"]

_SHARE_OF_TIME = 10
"""Verification fills at most one part in so many of the time: it must not keep a daemon busy with nothing else."""

_LONGEST_CLAIM_S = 360.0
"""What a daemon may claim that one took, beyond what was measured: it must not talk its way out of the next."""


class Verifier(msgspec.Struct, frozen=True):
    """Who gives the verdicts. `name` begins a line; `words` are the subject of a sentence, in its middle."""

    name: str
    words: str

    @property
    def opening(self) -> str:
        """The subject at the beginning of a sentence."""
        return f"{self.words[0].upper()}{self.words[1:]}"


DAEMON = Verifier("daemon", "the daemon")
FILE = Verifier("file", "the walk over the file")


def verifier_of(url: str) -> Verifier:
    """Who judges the log of this `Log.url`."""
    return DAEMON if is_address(url) else FILE


class ReceivedVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict and when it came. `matched`: its head is an event that this console has received, hash and all.

    `step` is the input at which its verification began, so that one can tell what it must have seen.
    """

    verdict: Verdict
    at: Moment
    step: int
    matched: bool = False

    @property
    def head(self) -> Head:
        """What the verdict speaks of; only for verdicts that name it."""
        assert self.verdict.head is not None
        return self.verdict.head

    @property
    def break_at(self) -> int | None:
        """Where the chain fails to hold; one that says so without saying where means what it checked last."""
        verdict = self.verdict
        if verdict.valid:
            return None
        return verdict.checked + 1 if verdict.first_break_at is None else verdict.first_break_at


class Verification(NamedTuple):
    """A verification that is under way: when it was asked for, at which input, and the newest event then."""

    began_s: float
    step: int
    newest: Head | None


class Verdicts:
    """The verdicts, one verification at a time, wanted every `every_s`. `now_s` is monotonic; no clock of its own."""

    def __init__(self, every_s: float) -> None:
        self.latest: ReceivedVerdict | None = None
        """The last one, whatever it says."""
        self.last_agreed: ReceivedVerdict | None = None
        """The last valid one that agrees with what was seen here; None after one that is not valid."""
        self.pending: ReceivedVerdict | None = None
        """A valid one on an event that has not been received yet."""
        self.under_way: Verification | None = None
        self.failure = ""
        """Why the last try gave none; "" when it gave one."""
        self._every_s = every_s
        self._took_s = 0.0
        self._next_s: float | None = None

    @property
    def verifying_since_s(self) -> float | None:
        """When the verification that is under way was asked for."""
        return None if self.under_way is None else self.under_way.began_s

    @property
    def period_s(self) -> float:
        """From the start of one verification to that of the next."""
        return max(self._every_s, self._took_s * _SHARE_OF_TIME)

    def next_in_s(self, now_s: float) -> float:
        """How long to wait before asking for the next; a whole period while one is under way."""
        if self.under_way is not None:
            return self.period_s
        return 0.0 if self._next_s is None else max(0.0, self._next_s - now_s)

    def receive(self, verdict: Verdict, at: Moment, step: int) -> tuple[ReceivedVerdict, Head | None]:
        """The verdict that was asked for has come: it is the latest. Also returns the newest event when it was."""
        asked = self.under_way or Verification(at.monotonic_s, step, None)
        self.under_way, self.failure = None, ""
        claimed_s = min((verdict.duration_ms or 0) / 1000, _LONGEST_CLAIM_S)
        self._took_s = max(at.monotonic_s - asked.began_s, claimed_s, 0.0)
        self._next_s = asked.began_s + self.period_s
        self.latest = ReceivedVerdict(verdict=verdict, at=at, step=asked.step)
        return self.latest, asked.newest

    def fail(self, reason: str, now_s: float) -> None:
        """None came: the next try is a whole period from now."""
        self.under_way, self.failure = None, reason
        self._next_s = now_s + self.period_s

    def contradict(self) -> None:
        """None agrees with what was seen."""
        self.last_agreed = self.pending = None

    def start_over(self, step: int) -> None:
        """Forget them: another history counts from now on. What is under way was asked for when that was not seen."""
        self.latest = self.last_agreed = self.pending = None
        if self.under_way is not None:
            self.under_way = self.under_way._replace(step=step, newest=None)
