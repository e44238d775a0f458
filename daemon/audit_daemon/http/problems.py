"""Errors as problem details (RFC 9457): `title`, `status`, `detail`, `type`. Never a stack trace, never a payload.

`type` says nothing and comes last: producers log the first 200 characters of an answer.
"""

from __future__ import annotations

from http import HTTPStatus

import msgspec
import structlog
from litestar import Response
from litestar.exceptions import HTTPException

from audit_daemon.http.asgi import Headers
from audit_daemon.store.protocol import IdempotencyConflict, StoreBusy
from audit_stream.errors import EventRejected
from audit_stream.logfile.errors import SearchStopped, StoreError

__all__ = ["MEDIA_TYPE", "Problem", "encode_problem", "on_error", "problem_headers", "problem_of"]

_log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = "1"


class Problem(Exception):
    """An answer that is an error: raise it anywhere in a handler."""

    def __init__(self, status: int, detail: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}


def encode_problem(problem: Problem) -> bytes:
    """The body of an error answer."""
    return msgspec.json.encode(
        {
            "title": HTTPStatus(problem.status).phrase,
            "status": problem.status,
            "detail": problem.detail,
            "type": "about:blank",  # RFC 9457, 4.2.1: no more than what the status says, but for the detail
        }
    )


def problem_headers(problem: Problem) -> Headers:
    """The headers of an error answer, in ASGI's form."""
    own = [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    return [*own, (b"content-type", MEDIA_TYPE.encode())]


def problem_of(error: Exception) -> Problem:
    """The answer to an error of ours, of Litestar, or of nobody (500, logged)."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, EventRejected):
        return Problem(422, str(error))
    if isinstance(error, IdempotencyConflict):
        return Problem(422, str(error))
    if isinstance(error, SearchStopped):
        return Problem(503, str(error), headers={"Retry-After": RETRY_AFTER_S})
    if isinstance(error, StoreError):
        reason = "busy" if isinstance(error, StoreBusy) else "cannot append"
        return Problem(503, f"{reason}: {error}; nothing was acknowledged", headers={"Retry-After": RETRY_AFTER_S})
    if isinstance(error, HTTPException):
        return _from_litestar(error)
    _log.error("request failed", exc_info=error)
    return Problem(500, "the daemon failed on this request; its log says how")


def _from_litestar(error: HTTPException) -> Problem:
    details = {
        404: "there is no such endpoint: GET / lists them",
        405: "this endpoint does not take this method",
    }
    headers = {name.title(): value for name, value in (error.headers or {}).items()}
    return Problem(error.status_code, details.get(error.status_code, error.detail), headers=headers)


def on_error(_: object, error: Exception) -> Response[bytes]:
    """Litestar's handler for every exception."""
    problem = problem_of(error)
    return Response(encode_problem(problem), status_code=problem.status, media_type=MEDIA_TYPE, headers=problem.headers)
