"""One-off requests: questions to a server and the loading of a store. Not used where the client's cost counts."""

from http.client import HTTPConnection
from typing import Any

import msgspec

TIMEOUT_S = 600.0  # the peer's walk over a large store takes tens of seconds


class UnexpectedAnswerError(Exception):
    """A server answered otherwise than the measurement needs."""


def request(port: int, method: str, path: str, body: bytes | None = None) -> Any:
    """The decoded JSON of a 2xx answer; anything else is an UnexpectedAnswerError."""
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        response = connection.getresponse()
        answer = response.read()
    finally:
        connection.close()
    if response.status // 100 != 2:
        raise UnexpectedAnswerError(f"{method} {path}: {response.status} {answer[:500].decode(errors='replace')}")
    return msgspec.json.decode(answer)


def event_count(port: int) -> int:
    """How many events the server holds, by GET /stats."""
    return int(request(port, "GET", "/stats")["count"])
