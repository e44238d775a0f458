"""What every refusal has in common, whatever was wrong."""

from __future__ import annotations

from http import HTTPStatus

from tests.daemon.http.wire import Answer, exchange, request
from tests.daemon_process import DaemonProcess

MARKER = "s3cret-M4rker"
"""Put into payloads: no error may repeat it."""


def assert_problem(answer: Answer, status: int, *names: str) -> None:
    """A problem document with this status whose detail has these words and nothing of the payload."""
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert list(problem) == ["title", "status", "detail", "type"]  # producers log the first 200 characters
    assert problem["type"] == "about:blank"
    assert problem["title"] == HTTPStatus(status).phrase
    assert problem["status"] == status
    assert all(name in problem["detail"] for name in names), problem["detail"]
    assert MARKER.encode() not in answer.body
    assert b"Traceback" not in answer.body


def assert_refused(daemon: DaemonProcess, data: bytes, status: int, *names: str) -> Answer:
    """The daemon answers these bytes with a problem, stores nothing and goes on answering."""
    before = event_count(daemon)
    answer = exchange(daemon.port, data)
    assert_problem(answer, status, *names)
    assert event_count(daemon) == before
    return answer


def event_count(daemon: DaemonProcess) -> int:
    """How many events the log has."""
    count: int = exchange(daemon.port, request("GET", "/stats")).json()["count"]
    return count
