"""One connection: uvicorn's HTTP protocol, with what it lacks for a daemon that strangers may talk to.

- A request that is no HTTP gets problem details like every other error; uvicorn answers in plain text.
- A head has a size, and head and body have a deadline: uvicorn would collect an endless header, and wait for ever for
  the other half of a request.
- An offer to upgrade is ignored (RFC 9110, 7.8). Java's HttpClient offers h2c with every first request, and the
  parser skips the body of such a request, so that its event would be lost.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from audit_daemon.http.problems import MEDIA_TYPE, Problem, encode_problem
from audit_daemon.http.transport import CoalescingTransport

__all__ = ["BODY_DEADLINE_S", "HEAD_DEADLINE_S", "GuardedProtocol"]

MAX_HEAD_BYTES = 64 << 10
"""Request line and headers; room for a filter of 4 KiB in its percent-encoded form and for any proxy's headers."""

HEAD_DEADLINE_S = 30.0
BODY_DEADLINE_S = 30.0

_UPGRADE_TOKENS = frozenset({b"upgrade", b"http2-settings"})

_NOT_HTTP = Problem(400, "this is no HTTP/1.1 request that can be read")
_HEAD_TOO_LARGE = Problem(431, f"the request line and headers take more than {MAX_HEAD_BYTES} bytes")
_BODY_TOO_SLOW = Problem(408, f"the body was not complete after {BODY_DEADLINE_S:g} s: send it again")
_HEAD_TOO_SLOW = Problem(408, f"the request's headers were not complete after {HEAD_DEADLINE_S:g} s")


class GuardedProtocol(HttpToolsProtocol):
    """What uvicorn makes for each connection. Belongs to the event loop's thread."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = False
        self._head_bytes = 0
        self._offer: bytes | None = None  # the head of a request that offers an upgrade, without the offer
        self._problem = _NOT_HTTP
        self._head_deadline: asyncio.TimerHandle | None = None
        self._body_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """A peer has connected: its first head is due."""
        super().connection_made(CoalescingTransport(transport, self.loop))  # type: ignore[arg-type]  # duck-typed
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer is gone."""
        self._head_arrived()
        self._body_arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes have come in: parse them, answer what is no HTTP."""
        self._unset_keepalive_if_required()
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(_HEAD_TOO_LARGE)
                return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._offer is not None:
                head, self._offer = self._offer, None
                self.data_received(head + data[cast(int, upgrade.args[0]) :])
        except httptools.HttpParserError:
            self._refuse(self._problem)
        else:
            if self._in_head and self._head_deadline is None:
                self._expect_head()
            elif self._body_deadline is None and getattr(self.cycle, "more_body", False):  # no cycle before a request
                self._body_deadline = self.loop.call_later(BODY_DEADLINE_S, self._body_is_late)

    def on_message_begin(self) -> None:
        """A request's first byte."""
        self._in_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header. Trailers after a chunked body are dropped (RFC 9112, 7.1.2): nothing here reads any."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """A request's head is whole: start to answer it."""
        self._in_head = False
        self._head_arrived()
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > MAX_HEAD_BYTES:
            self._problem = _HEAD_TOO_LARGE
            raise ValueError  # the parser turns it into an HttpParserError
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._offer = self._head_without_offer()
        else:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """A request's body is whole."""
        self._body_arrived()
        if self._offer is None:
            super().on_message_complete()

    def _head_without_offer(self) -> bytes:
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            if name == b"connection":
                kept = [token for token in value.split(b",") if token.strip().lower() not in _UPGRADE_TOKENS]
                lines.append(b"connection: " + b",".join(kept))
            elif name not in _UPGRADE_TOKENS:
                lines.append(b"%b: %b" % (name, value))
        return b"\r\n".join([*lines, b"", b""])

    def _expect_head(self) -> None:
        self._head_deadline = self.loop.call_later(HEAD_DEADLINE_S, self._refuse, _HEAD_TOO_SLOW)

    def _head_arrived(self) -> None:
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None

    def _body_arrived(self) -> None:
        if self._body_deadline is not None:
            self._body_deadline.cancel()
            self._body_deadline = None

    def _body_is_late(self) -> None:
        """Give up on a body: answer, or just close when its request was answered without it."""
        if self.cycle.response_complete:
            self.transport.close()
        else:
            self._refuse(_BODY_TOO_SLOW)

    def _refuse(self, problem: Problem) -> None:
        """Answer, unless an earlier request's answer is still to come, and close."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and cycle.more_body and not cycle.response_started and not self.pipeline:
            cycle.disconnected = True  # it is this request's own body that cannot be read; nobody else answers it
            cycle.message_event.set()
            cycle = None
        if cycle is None or cycle.response_complete:
            body = encode_problem(problem)
            head = b"content-type: %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
            self.transport.write(STATUS_LINE[problem.status] + head % (MEDIA_TYPE.encode(), len(body)) + body)
        self.transport.close()
