"""Where two histories part."""

from __future__ import annotations

import asyncio
import math

import pytest

from audit_stream.chain import GENESIS, Verdict
from audit_stream.errors import ClientError
from audit_tui.model.divergence import Divergence, diverge
from tests.tui.fake_log import FakeLog, chained, make_log, tampered


def forked(count: int, at: int) -> FakeLog:
    """The log of `make_log(count)`, but event `at` and all after it are others."""
    log = make_log(count, url="http://other.test:8093")
    log.replace(log.raw[: at - 1])
    drafts = [("other", "mallory", {"i": i, "forged": True}) for i in range(at, count + 1)]
    log.replace([*log.raw, *chained(drafts, after=log.head)])
    return log


def compared(one: FakeLog, other: FakeLog) -> Divergence:
    return asyncio.run(diverge(one, other, lambda done, total: None))


@pytest.mark.parametrize("at", [*range(1, 18), 33, 64])
def test_the_first_event_that_differs_is_found(at: int) -> None:
    one, other = make_log(64), forked(64, at)
    result = compared(one, other)
    assert result.diverge_at == at
    assert (result.first_one, result.first_other) == (one.raw[at - 1], other.raw[at - 1])
    assert f"diverge first at #{at}" in result.summary


def test_it_takes_few_questions() -> None:
    one, other = make_log(2_000), forked(2_000, 777)
    compared(one, other)
    assert sum(request.startswith("event ") for request in one.requests) <= math.ceil(math.log2(2_000)) + 1


def test_the_same_history_needs_one_event_of_each() -> None:
    one, other = make_log(20), make_log(20)
    result = compared(one, other)
    assert result.diverge_at is None
    assert result.summary.startswith("Same history: 20 events")
    assert one.requests == ["stats", "event 20"]


def test_one_that_is_behind_is_told_by_how_much() -> None:
    result = compared(make_log(13, url="http://late"), make_log(20, url="http://early"))
    assert result.diverge_at is None
    assert result.summary == "Same history as far as both go: http://late is 7 events behind http://early."
    assert "http://late is 7" in compared(make_log(20, url="http://early"), make_log(13, url="http://late")).summary


def test_a_fork_is_found_in_logs_of_different_length() -> None:
    assert compared(make_log(40), forked(25, 20)).diverge_at == 20


def test_an_empty_log_is_a_prefix_of_any() -> None:
    result = compared(make_log(0), make_log(3))
    assert (result.shared, result.one, result.diverge_at) == (0, GENESIS, None)


def test_an_event_that_one_does_not_hold_is_where_they_part() -> None:
    one, other = make_log(8), forked(8, 8)
    del other.raw[6]
    result = compared(one, other)
    assert result.diverge_at == 7
    assert result.first_other is None
    assert ("kind", '"other"', "(absent)") in [(pair.field, pair.one, pair.other) for pair in result.fields()]


def test_fields_are_compared_by_path_with_the_hashes_last() -> None:
    fields = compared(make_log(8), forked(8, 3)).fields()
    found = {pair.field: (pair.one, pair.other, pair.differs) for pair in fields}
    assert found["event_id"] == ("3", "3", False)
    assert found["payload.signer"] == ('"cfo"', "(absent)", True)
    assert found["payload.forged"] == ("(absent)", "true", True)
    assert found["payload.i"] == ("3", "3", False)
    assert [pair.field for pair in fields[-2:]] == ["prev_hash", "hash"]


def test_what_is_shown_is_safe() -> None:
    one, other = make_log(3, url="http://a\x1b[2J"), make_log(3)
    other.raw[2] = tampered(other.raw[2], payload={"a\u202eb": "\x1b]0;x\x07"})
    text = compared(one, other).as_text()
    assert all(line.isprintable() for line in text.split("\n"))


def test_a_broken_chain_makes_the_result_unreliable() -> None:
    one, other = make_log(3), make_log(3, url="http://other")
    assert "no verdict yet" in compared(one, other).assumption
    valid = Verdict(valid=True, checked=3, first_break_at=None, reason=None)
    one.last_verdict = other.last_verdict = valid
    assert compared(one, other).assumption == "This assumes that both chains are valid, as their last verdicts say."
    other.last_verdict = Verdict(valid=False, checked=1, first_break_at=2, reason="hash mismatch at event #2")
    assert "http://other is broken at #2" in compared(one, other).assumption


def test_a_daemon_that_is_away_is_a_client_error() -> None:
    one, other = make_log(3), make_log(3)
    other.go_away()
    with pytest.raises(ClientError, match="no daemon answers"):
        compared(one, other)
