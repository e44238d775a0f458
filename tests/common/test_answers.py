"""The answers of an older daemon, of a newer one and of ours, read into the same Structs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from audit_stream.answers import BatchReceipt, Liveness, ProblemDetails, Readiness, Service, Stats, WriteQueue
from audit_stream.chain import GENESIS, Head, Verdict

RECORDED = json.loads((Path(__file__).parents[1] / "data" / "answers_0_1_0.json").read_text(encoding="utf-8"))
THEIRS = {recorded["target"]: recorded["answer"] for recorded in RECORDED["answers"] if recorded["method"] == "GET"}
STRUCTS = {"/": Service, "/healthz": Liveness, "/stats": Stats, "/verify": Verdict}

OURS: list[tuple[Any, str]] = [
    (
        BatchReceipt(count=2, first_event_id=1, last_event_id=2, latest_hash="a"),
        '{"count":2,"first_event_id":1,"last_event_id":2,"latest_hash":"a"}',
    ),
    (Liveness(), '{"status":"ok"}'),
    (Readiness(status="unavailable", reasons=["full"]), '{"status":"unavailable","reasons":["full"]}'),
    (
        ProblemDetails(title="Not Found", status=404, detail="x"),
        '{"title":"Not Found","status":404,"detail":"x","type":"about:blank"}',
    ),
    (
        Stats(count=1, last_event_id=1, latest_hash="a", by_kind={"other": 1}, write_queue=WriteQueue(events=3)),
        '{"count":1,"last_event_id":1,"latest_hash":"a","by_kind":{"other":1},"by_source":{},"sources":0,'
        '"events_of_other_sources":0,"severities":{},"rates_per_second":{},"subscribers":0,"database_bytes":0,'
        '"write_queue":{"events":3,"bytes":0},"last_verdict":null}',
    ),
]


@pytest.mark.parametrize("target", STRUCTS)
def test_what_0_1_0_answers_is_read(target: str) -> None:
    answer = msgspec.json.decode(json.dumps(THEIRS[target]), type=STRUCTS[target])
    assert {name: getattr(answer, name) for name in THEIRS[target]} == THEIRS[target]


@pytest.mark.parametrize(("answer", "text"), OURS)
def test_an_answer_has_its_fields_in_their_order_and_is_read_back(answer: Any, text: str) -> None:
    assert msgspec.json.encode(answer).decode() == text
    assert msgspec.json.decode(text, type=type(answer)) == answer


@pytest.mark.parametrize(("answer", "text"), OURS)
def test_a_field_of_a_later_version_is_read_over(answer: Any, text: str) -> None:
    assert msgspec.json.decode('{"of_a_later_version":[1],' + text[1:], type=type(answer)) == answer


def test_a_hash_and_a_severity_that_are_none_are_read_and_shown_for_what_they_are() -> None:
    stats = msgspec.json.decode('{"count":1,"last_event_id":1,"latest_hash":"x","severities":{"k":"loud"}}', type=Stats)
    assert stats.head == Head(1, "x")
    assert stats.severities == {"k": "loud"}
    assert msgspec.json.decode('{"count":0,"last_event_id":null}', type=Stats).head == GENESIS
