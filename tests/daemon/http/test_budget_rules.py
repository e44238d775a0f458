"""The budget's arithmetic: whatever is reserved, grown, kept, released and dismissed, it counts what is held."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from audit_daemon.http.budget import Budget, BudgetExceeded, Reservation

LIMIT = 1000
SIZES = st.integers(0, LIMIT + 100)
FREE = st.sampled_from([0, 0, LIMIT // 8])


class Storm(RuleBasedStateMachine):
    """Holders that come, grow, finish, stall and go, beside a model that keeps each one's size."""

    @initialize()
    def open(self) -> None:
        self.now = 0.0
        self.budget = Budget(LIMIT, clock=lambda: self.now)
        self.held: dict[int, tuple[Reservation, int]] = {}
        self.user_data: set[int] = set()
        self.dismissed: list[int] = []
        self.number = 0

    @rule(size=SIZES, keep_free=FREE, patience=st.integers(0, 5))
    def reserve(self, size: int, keep_free: int, patience: int) -> None:
        self.number += 1
        number = self.number
        before, gone = self.budget.used_bytes, len(self.dismissed)
        try:
            reservation = self.budget.reserve(
                size, lambda: self.dismissed.append(number), stalled_from=self.now + patience, keep_free=keep_free
            )
        except BudgetExceeded:
            assert before + size > LIMIT - keep_free
            assert (self.budget.used_bytes, len(self.dismissed)) == (before, gone)
        else:
            self.held[number] = (reservation, size)
            assert self.budget.used_bytes <= LIMIT - keep_free
        self.forget_dismissed(gone)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), more=SIZES, keep_free=FREE)
    def grow(self, data: st.DataObject, more: int, keep_free: int) -> None:
        number = data.draw(st.sampled_from(sorted(self.held)))
        reservation, size = self.held[number]
        gone = len(self.dismissed)
        try:
            reservation.grow(more, keep_free=keep_free)
        except BudgetExceeded:
            assert len(self.dismissed) == gone
        else:
            self.held[number] = (reservation, size + more)
            assert number not in self.dismissed
        self.forget_dismissed(gone)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def keep(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.held)))
        self.held[number][0].keep()
        self.user_data.add(number)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), twice=st.booleans())
    def release(self, data: st.DataObject, twice: bool) -> None:
        number = data.draw(st.sampled_from(sorted(self.held)))
        reservation, _ = self.held.pop(number)
        reservation.release()
        if twice:
            reservation.release()

    @rule(seconds=st.integers(1, 5))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    def forget_dismissed(self, since: int) -> None:
        for number in self.dismissed[since:]:
            reservation, _ = self.held.pop(number)
            assert number not in self.user_data, "its peer has done its part"
            assert reservation.stalled_from <= self.now, "its peer has not stalled"

    @invariant()
    def counts_what_is_held(self) -> None:
        if hasattr(self, "budget"):
            assert self.budget.used_bytes == sum(size for _, size in self.held.values()) <= LIMIT
            assert self.budget.dismissed == len(self.dismissed) == len(set(self.dismissed))

    def teardown(self) -> None:
        if hasattr(self, "budget"):
            for reservation, _ in self.held.values():
                reservation.release()
            assert self.budget.used_bytes == 0


TestStorm = Storm.TestCase
TestStorm.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


def test_nobody_is_dismissed_when_that_would_not_make_room() -> None:
    budget = Budget(100, clock=lambda: 10.0)
    gone: list[str] = []
    budget.reserve(20, lambda: gone.append("stalled"), stalled_from=0.0)
    budget.reserve(60, lambda: gone.append("busy"), stalled_from=20.0)
    with pytest.raises(BudgetExceeded):
        budget.reserve(60, lambda: None, stalled_from=20.0)
    assert not gone
    budget.reserve(40, lambda: None, stalled_from=20.0)
    assert gone == ["stalled"]
