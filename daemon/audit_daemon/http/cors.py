"""Cross-origin requests (WHATWG Fetch, "HTTP CORS protocol"): which pages may talk to the daemon.

Pages of the origins in `AUDIT_STREAM_CORS_ORIGINS` may read and post; nothing is granted to any other. A browser
sends some posts without asking first, and a page that rebinds its DNS name to us needs no permission at all, so a
POST with the Origin of a page that is not allowed is refused: no website may write into the chain.

Litestar's own middleware would have to sit inside the application, behind the producers' routes.
"""

from __future__ import annotations

from collections.abc import Iterable

from audit_daemon.http.asgi import Headers

__all__ = ["CORS_SETTING", "Cors"]

CORS_SETTING = "AUDIT_STREAM_CORS_ORIGINS"

_EXPOSED = b"Link, Retry-After, Idempotent-Replayed"
_METHODS = b"GET, POST"
_REQUEST_HEADERS = b"Accept, Authorization, Cache-Control, Content-Type, Idempotency-Key, Last-Event-ID"
_PREFLIGHT_LIFETIME_S = b"600"


class Cors:
    """The rules for a set of allowed origins, in which `*` allows all."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origin.encode("latin-1", "replace") for origin in origins)
        self._all = b"*" in self._origins

    def allows(self, origin: bytes) -> bool:
        """Whether a page of `origin` may read answers and post."""
        return self._all or origin in self._origins

    def answer_headers(self, origin: bytes) -> Headers:
        """Headers that let the page read an answer, an error too; none when its origin is not allowed."""
        if not self._origins:
            return []
        if not self.allows(origin):
            return [(b"vary", b"Origin")]
        return [
            (b"access-control-allow-origin", b"*" if self._all else origin),
            (b"access-control-expose-headers", _EXPOSED),
            (b"vary", b"Origin"),
        ]

    def preflight_headers(self, origin: bytes) -> Headers:
        """Headers of the answer to a preflight from an allowed origin."""
        return [
            *self.answer_headers(origin),
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", _REQUEST_HEADERS),
            (b"access-control-allow-private-network", b"true"),
            (b"access-control-max-age", _PREFLIGHT_LIFETIME_S),
        ]
