"""Evidence taken from a log."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from audit_stream.bundle import Bundle, check, read
from audit_stream.chain import Head, Verdict
from audit_stream.errors import ClientError
from audit_tui.model import collect as collecting
from audit_tui.model.collect import collect
from tests.tui.fake_log import FakeLog, make_log, tampered


def head_at(log: FakeLog, event_id: int) -> Head:
    return msgspec.json.decode(log.raw[event_id - 1], type=Head)


def collected(log: FakeLog, ids: Iterable[int], *, head: Head | None = None, **options: Any) -> Bundle:
    options.setdefault("on_progress", lambda done, total: None)
    return read(asyncio.run(collect(log, ids, head=head, **options)))


def test_the_events_from_the_first_selected_to_the_known_head_are_taken() -> None:
    log = make_log(30)
    bundle = collected(log, [12, 10], head=head_at(log, 20))
    assert bundle.runs == ((10, 20),)
    assert bundle.selected == (10, 12)
    assert bundle.written.log == log.url
    assert check(bundle).reaches_head


def test_without_a_known_head_the_logs_own_is_taken() -> None:
    log = make_log(30)
    assert collected(log, [29]).head == log.head


def test_a_head_before_the_selection_counts_as_remembered() -> None:
    log = make_log(30)
    bundle = collected(log, [3, 20], head=head_at(log, 5), remembered=[head_at(log, 1), head_at(log, 7)])
    assert bundle.head == log.head
    assert bundle.remembered == (head_at(log, 5), head_at(log, 7))


def test_a_head_of_another_history_is_found_by_the_check() -> None:
    log = make_log(30)
    assert [f.event_id for f in check(collected(log, [3], head=Head(20, "f" * 64))).faults] == [20]


def test_a_head_that_the_log_no_longer_reaches_is_not_linked() -> None:
    log = make_log(30)
    bundle = collected(log, [3], head=Head(40, "f" * 64))
    assert not bundle.linked
    assert not bundle.left_out


def test_a_tampered_event_is_evidence_too() -> None:
    log = make_log(30)
    log.raw[14] = tampered(log.raw[14], kind="other")
    assert [f.event_id for f in check(collected(log, [15])).faults] == [15]


@pytest.mark.parametrize("bound", ["MAX_BUNDLE_EVENTS", "MAX_BUNDLE_BYTES"])
def test_what_is_too_large_is_left_out_and_said(monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    log = make_log(30)
    monkeypatch.setattr(collecting, bound, 10 if bound == "MAX_BUNDLE_EVENTS" else 2_000)
    bundle = collected(log, [4, 5, 9])
    assert bundle.runs == ((4, 5), (9, 9), (30, 30))
    assert bundle.left_out
    assert check(bundle).intact


def test_too_many_or_too_large_selected_events_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    log = make_log(30)
    monkeypatch.setattr(collecting, "MAX_BUNDLE_EVENTS", 10)
    with pytest.raises(ClientError, match="select under 10"):
        collected(log, range(1, 20))
    monkeypatch.setattr(collecting, "MAX_BUNDLE_BYTES", 1_000)
    with pytest.raises(ClientError, match="select fewer"):
        collected(log, range(1, 9))


@pytest.mark.parametrize(("ids", "reason"), [([], "no event is selected"), ([99], "no event #99")])
def test_what_cannot_be_collected_is_said(ids: list[int], reason: str) -> None:
    with pytest.raises(ClientError, match=reason):
        collected(make_log(30), ids)


def test_a_daemon_that_is_away_is_a_client_error() -> None:
    log = make_log(30)
    log.go_away()
    with pytest.raises(ClientError, match="no daemon answers"):
        collected(log, [1])


def test_the_verdict_given_is_kept_otherwise_the_logs_last() -> None:
    log = make_log(3)
    log.last_verdict = Verdict(valid=True, checked=3, first_break_at=None, reason=None)
    given = Verdict(valid=False, checked=1, first_break_at=2, reason="x")
    assert collected(log, [1]).verdict == log.last_verdict
    assert collected(log, [1], verdict=given).verdict == given


def test_progress_ascends_to_the_total() -> None:
    seen: list[tuple[int, int]] = []
    collected(make_log(450), [1], on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(100, 450), (200, 450), (300, 450), (400, 450), (450, 450)]
