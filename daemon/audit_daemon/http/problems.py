"""Errors as problem details (RFC 9457). Never a stack trace, never a payload."""

from __future__ import annotations

import errno
import sqlite3
from http import HTTPStatus

import msgspec
import structlog
from litestar import Response
from litestar.exceptions import HTTPException

from audit_daemon.http.asgi import Headers
from audit_daemon.store.protocol import IdempotencyConflict, StoreBusy, StoreUnreadable
from audit_stream.answers import ProblemDetails
from audit_stream.errors import AuditStreamError, EventRejected
from audit_stream.logfile.errors import SearchStopped, StoreError

__all__ = [
    "MEDIA_TYPE",
    "RETRY_AFTER_S",
    "Problem",
    "encode_problem",
    "is_exhaustion",
    "on_error",
    "problem_headers",
    "problem_of",
]

_log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = "1"

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN})
_SQLITE_EXHAUSTED = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM})


class Problem(AuditStreamError):
    """An answer that is an error: raise it anywhere in a handler."""

    def __init__(self, status: int, detail: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}


def encode_problem(problem: Problem) -> bytes:
    """The body of an error answer."""
    title = HTTPStatus(problem.status).phrase
    return msgspec.json.encode(ProblemDetails(title=title, status=problem.status, detail=problem.detail))


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
    if isinstance(error, StoreUnreadable):
        return Problem(503, f"the log cannot be read: {error}", headers={"Retry-After": RETRY_AFTER_S})
    if isinstance(error, StoreError):
        reason = "busy" if isinstance(error, StoreBusy) else "cannot append"
        return Problem(503, f"{reason}: {error}; nothing was acknowledged", headers={"Retry-After": RETRY_AFTER_S})
    if isinstance(error, HTTPException):
        return _from_litestar(error)
    if is_exhaustion(error):
        _log.warning("request refused", reason=str(error) or type(error).__name__)
        detail = "the daemon is short of memory or of open files, or cannot open its database"
        return Problem(503, detail, headers={"Retry-After": RETRY_AFTER_S})
    if isinstance(error, sqlite3.Error) and hasattr(
        error, "sqlite_errorcode"
    ):  # of SQLite: a damaged page, a lost column
        _log.error("the database cannot be read", reason=str(error))
        return Problem(503, f"the database cannot be read: {error}; GET /verify says what of it holds")
    _log.error("request failed", exc_info=error)
    return Problem(500, "the daemon failed on this request; its log says how")


def is_exhaustion(error: BaseException) -> bool:
    """Whether the machine, not the request, is at fault: no memory, no descriptors, no thread to be had."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno in _EXHAUSTED
    if isinstance(error, sqlite3.OperationalError):
        code = getattr(error, "sqlite_errorcode", 0)  # SQLite's own errors have it
        return code == sqlite3.SQLITE_IOERR_NOMEM or code & 0xFF in _SQLITE_EXHAUSTED
    return isinstance(error, RuntimeError) and str(error) == "can't start new thread"


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
