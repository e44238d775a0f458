"""What audit-stream 0.1.0 answers, the daemon answers too; what differs on purpose is named here, with the reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.http.record_0_1_0 import REQUESTS
from tests.daemon.http.wire import Answer, AnswerReader, connected, exchange, request
from tests.daemon_process import start_daemon

GOLDEN = json.loads((Path(__file__).parents[2] / "data" / "answers_0_1_0.json").read_text(encoding="utf-8"))
THEIRS = {recorded["name"]: recorded for recorded in GOLDEN["answers"]}

DIFFERENCES = {
    "limit abc": (400, "a bad limit is a bad limit, whether out of range or no number"),
    "unknown kind in a query": (
        400,
        "a bad parameter is a bad parameter; no published client looks at which 4xx it is",
    ),
    "kind and source": (200, "both apply; 0.1.0 ignores source when kind is given"),
    "unknown query parameter": (400, "a misspelt filter must not look like an answer to the right one"),
    "another content type": (415, "any web page may send text/plain without asking first"),
    "no content type": (415, "any web page may send a body without a type, without asking first"),
    "timestamp is no instant": (422, "it could not be searched by time"),
    "timestamp is empty": (422, "it is no instant; leaving it out has the daemon stamp it"),
    "source outside the pattern": (422, "it would have to be escaped in terminals, URLs and metric labels"),
}
PROMISED = {"root": {"name"}, "stats": {"count", "last_event_id", "latest_hash"}}


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The daemon's answers to the recorded requests in their order, and under `stream` what it streamed meanwhile."""
    with start_daemon(tmp_path_factory.mktemp("theirs") / "audit.db") as daemon, connected(daemon.port) as follower:
        follower.sendall(request("GET", "/stream"))
        reader = AnswerReader(follower)
        reader.read_head()
        answers: dict[str, Any] = {recorded["name"]: _replay(daemon.port, recorded) for recorded in GOLDEN["answers"]}
        streamed, chunks = b"", reader.chunks()
        while streamed.count(b"data:") < len(GOLDEN["stream"]) or not streamed.endswith(b"\n\n"):
            streamed += next(chunks)
        answers["stream"] = streamed
        yield answers


def _replay(port: int, recorded: dict[str, Any]) -> Answer:
    body = (recorded["body"] or "").encode()
    headers = recorded["headers"] | ({"Content-Length": str(len(body))} if recorded["method"] == "POST" else {})
    return exchange(port, request(recorded["method"], recorded["target"], headers, body), method=recorded["method"])


def test_the_golden_file_holds_the_requests_that_the_recorder_sends() -> None:
    kept = ("name", "method", "target", "headers", "body")
    assert [{field: recorded[field] for field in kept} for recorded in GOLDEN["answers"]] == REQUESTS


@pytest.mark.parametrize("name", [name for name in THEIRS if name not in DIFFERENCES])
def test_status_is_those_of_0_1_0(ours: dict[str, Any], name: str) -> None:
    assert ours[name].status == THEIRS[name]["status"]


@pytest.mark.parametrize("name", [name for name in THEIRS if name not in DIFFERENCES and THEIRS[name]["status"] < 300])
def test_promised_fields_are_those_of_0_1_0(ours: dict[str, Any], name: str) -> None:
    answer, theirs = ours[name].json(), THEIRS[name]["answer"]
    if isinstance(theirs, list):
        assert answer == theirs
    elif name == "root":
        assert answer["name"] == theirs["name"]
        assert answer.keys() >= theirs.keys()
        assert answer["endpoints"].keys() >= theirs["endpoints"].keys()
    else:
        assert {field: answer[field] for field in theirs} == theirs


@pytest.mark.parametrize("name", [name for name in THEIRS if name.startswith("post")])
def test_an_appended_event_has_the_fields_of_0_1_0_and_no_more(ours: dict[str, Any], name: str) -> None:
    assert ours[name].json() == THEIRS[name]["answer"]


@pytest.mark.parametrize(
    "name",
    [name for name in THEIRS if THEIRS[name]["status"] >= 400 and THEIRS[name]["answer"] and name not in DIFFERENCES],
)
def test_an_error_has_a_detail_as_in_0_1_0_in_a_problem_document(ours: dict[str, Any], name: str) -> None:
    answer, theirs = ours[name], THEIRS[name]["answer"]["detail"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json().keys() == {"type", "title", "status", "detail"}
    if isinstance(theirs, str) and theirs not in ("Not Found", "Method Not Allowed"):
        assert answer.json()["detail"] == theirs


@pytest.mark.parametrize("name", [name for name in THEIRS if THEIRS[name]["status"] == 422 and name not in DIFFERENCES])
def test_an_error_names_the_field_that_0_1_0_names(ours: dict[str, Any], name: str) -> None:
    location = [part for part in THEIRS[name]["answer"]["detail"][0]["loc"] if isinstance(part, str)]
    if location != ["body"]:
        assert location[-1] in ours[name].json()["detail"]


def test_stream_messages_are_those_of_0_1_0(ours: dict[str, Any]) -> None:
    messages = []
    for block in ours["stream"].decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            messages.append({**fields, "data": json.loads(fields["data"])})
    assert messages == GOLDEN["stream"]


@pytest.mark.parametrize(("name", "status"), [(name, status) for name, (status, _) in DIFFERENCES.items()])
def test_status_that_differs_on_purpose(ours: dict[str, Any], name: str, status: int) -> None:
    assert ours[name].status == status


def test_kind_and_source_apply_both_where_0_1_0_ignores_source(ours: dict[str, Any]) -> None:
    assert [event["event_id"] for event in THEIRS["kind and source"]["answer"]] == [4, 5, 6, 7]
    assert [event["event_id"] for event in ours["kind and source"].json()] == [5]
