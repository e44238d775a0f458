"""Every request comes through here first.

Who is answered (`access.py`), which pages may talk to us (`cors.py`), and producers' two routes (`ingest.py`); all
else goes on to the Litestar application. Plain ASGI, because it stands in front of every append.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from audit_daemon.access import Access
from audit_daemon.http.asgi import Headers, Receive, Scope, Send, answer
from audit_daemon.http.cors import CORS_SETTING, Cors
from audit_daemon.http.ingest import Ingest
from audit_daemon.http.problems import Problem, encode_problem, problem_headers

__all__ = ["Gateway"]


class Gateway:
    """An ASGI application around another. `ingest` answers once the inner application has started."""

    def __init__(self, app: Any, *, access: Access, cors: Cors, ingest: Callable[[], Ingest]) -> None:
        self._app = app
        self._access = access
        self._cors = cors
        self._ingest = ingest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an HTTP request, or pass on the application's start and stop."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        origin = None
        for name, value in scope["headers"]:
            if name == b"origin":
                origin = value
        extra = [] if origin is None else self._cors.answer_headers(origin)
        problem = self._refusal(scope, origin)
        if problem is not None:
            await answer(send, problem.status, problem_headers(problem) + extra, encode_problem(problem))
        elif scope["method"] == "POST" and scope["path"] == "/events":
            await self._ingest().one(scope, receive, send, extra)
        elif scope["method"] == "POST" and scope["path"] == "/events/batch":
            await self._ingest().batch(scope, receive, send, extra)
        elif origin is not None and scope["method"] == "OPTIONS":
            await answer(send, 204, self._cors.preflight_headers(origin), b"")
        elif extra:
            await self._app(scope, receive, _with_headers(send, extra))
        else:
            await self._app(scope, receive, send)

    def _refusal(self, scope: Scope, origin: bytes | None) -> Problem | None:
        reason = self._access.refusal(scope)
        if reason is not None:
            return Problem(401, reason, headers={"WWW-Authenticate": "Bearer", "Connection": "close"})
        if origin is not None and scope["method"] in ("POST", "OPTIONS") and not self._cors.allows(origin):
            return Problem(
                403,
                f"pages of this origin may not talk to this daemon: its operator can allow them with {CORS_SETTING}",
                headers={"Connection": "close"},
            )
        return None


def _with_headers(send: Send, extra: Headers) -> Send:
    async def wrapped(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *extra]}
        await send(message)

    return wrapped
