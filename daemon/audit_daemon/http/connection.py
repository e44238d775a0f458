"""One connection: uvicorn's HTTP protocol, with what it lacks for a daemon that strangers may talk to.

Every byte of a peer is bounded, and every wait for one:

- One request is parsed at a time; what follows it waits as bytes, and beyond MAX_AHEAD_BYTES in the peer's socket.
- A head has a size and a number of headers. What frames a body (chunk sizes, extensions, trailers) has to be in
  proportion to it. A body that nobody reads is dropped, up to a limit.
- Head and body have a deadline, and a parser's turn has a length.

And what peers may rely on:

- A request that is no HTTP gets problem details like every other error; uvicorn answers in plain text.
- When memory is used up, what comes in is answered with a 503 that was made before.
- A peer that closes its sending side still gets its answers. One that is gone altogether is noticed, even behind a
  request that waits for its turn.
- An offer to upgrade is ignored (RFC 9110, 7.8). Java's HttpClient offers h2c with every first request, and the
  parser skips the body of such a request, so that its event would be lost.

uvicorn offers no hook for any of that, so this module, and no other, uses what is private to its protocol: the
request's cycle (body, more_body, keep_alive, waiting_for_100_continue, response_started, response_complete,
disconnected, message_event), its flow control and what it does after an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
from collections.abc import Callable
from typing import Any, cast

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from audit_daemon.http.asgi import ENDLESS, WHOLE, Headers
from audit_daemon.http.listener import Places
from audit_daemon.http.problems import Problem, encode_problem, problem_headers, problem_of
from audit_daemon.http.transport import CoalescingTransport

__all__ = ["BODY_DEADLINE_S", "HEAD_DEADLINE_S", "NO_MEMORY", "GuardedProtocol", "on_loop_error", "whole_answer"]

MAX_HEAD_BYTES = 64 << 10
"""Request line and headers; room for a filter of 4 KiB in its percent-encoded form and for any proxy's headers."""

MAX_HEADERS = 256
"""Each takes a few hundred bytes once it is parsed. Apache takes 100."""

HEAD_DEADLINE_S = 30.0
BODY_DEADLINE_S = 30.0

MAX_AHEAD_BYTES = 64 << 10
"""What is read on while a request is answered: a hang-up is noticed only by who reads."""

MAX_UNREAD_BYTES = 1 << 20
"""What is dropped of a body that nobody reads, so that the connection can go on: a POST to a wrong path."""

_PAYS_FOR = 3
"""A body's byte pays for itself and two more of framing, beyond MAX_HEAD_BYTES: chunks of two bytes can go on for
long, chunks of one byte, which cost sixty times what they carry, cannot."""

_MAX_BLANK_BYTES = 64  # empty lines before a request; RFC 9112 (2.2) asks for tolerance of one

_PIECE_BYTES = 64 << 10
_CHUNKED_PIECE_BYTES = 8 << 10
_STEPS_A_TURN = 2_000
"""Pieces and chunks that are parsed before others get a turn: about 1 ms."""

_LOOK_S = 1.0
"""How often it is looked whether a peer that sends nothing more is still there."""

_RESET_S = 0.1  # in which a peer that has gone says so, if it is near

_END_OF_HEAD = b"\r\n\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_UPGRADE_TOKENS = frozenset({b"upgrade", b"http2-settings"})

_GONE = select.POLLERR | select.POLLHUP
_SENDS_NO_MORE = getattr(select, "POLLRDHUP", 0)  # Linux has it

_NOT_HTTP = Problem(400, "this is no HTTP/1.1 request that can be read")
_HEAD_TOO_LARGE = Problem(
    431, f"the request line and headers take more than {MAX_HEAD_BYTES} bytes, or are more than {MAX_HEADERS} headers"
)
_TOO_MUCH_FRAMING = Problem(400, "the body's chunk sizes, extensions and trailers are out of proportion to it")
_UNREAD_TOO_LARGE = Problem(413, f"this request takes no body, and gets more than {MAX_UNREAD_BYTES} bytes of one")
_BODY_TOO_SLOW = Problem(408, f"the body was not complete after {BODY_DEADLINE_S:g} s: send it again")
_HEAD_TOO_SLOW = Problem(408, f"the request's headers were not complete after {HEAD_DEADLINE_S:g} s")
_STOPPING = Problem(503, "the daemon is stopping", headers={"Retry-After": "1"})
_STOPPED_IN_A_POST = Problem(
    503,
    "the daemon stopped before this was done: whether it was stored is unknown; send it again with an Idempotency-Key",
    headers={"Retry-After": "1"},
)
NO_MEMORY = Problem(
    503, "the daemon is short of memory: nothing of this request was acknowledged", headers={"Retry-After": "1"}
)


def whole_answer(problem: Problem) -> bytes:
    """A problem as the bytes of a last answer, after which the connection is closed."""
    body = encode_problem(problem)
    headers = [*problem_headers(problem), (b"content-length", b"%d" % len(body)), (b"connection", b"close")]
    return STATUS_LINE[problem.status] + b"".join(b"%b: %b\r\n" % header for header in headers) + b"\r\n" + body


_NO_MEMORY_ANSWER = whole_answer(NO_MEMORY)  # made now, as there may be no memory for it then


def on_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """The event loop's handler of errors: who is cut off because the loop has no memory to read is told so."""
    protocol = context.get("protocol")
    if isinstance(protocol, GuardedProtocol) and isinstance(context.get("exception"), MemoryError):
        protocol.refuse_unread()
    else:
        loop.default_exception_handler(context)


class _Flow(FlowControl):
    """Flow control that asks before it reads on: what came in already may have to be parsed first."""

    def __init__(self, transport: asyncio.Transport, go_on: Callable[[], None]) -> None:
        super().__init__(transport)
        self.resume_reading = go_on  # type: ignore[method-assign]  # uvicorn calls it when it wants more
        self.read_on = super().resume_reading


class GuardedProtocol(HttpToolsProtocol):
    """What uvicorn makes for each connection. Belongs to the event loop's thread.

    `places` is told when the connection waits for its peer and when it does not, so that it can be closed for others.
    """

    flow: _Flow

    def __init__(self, *args: Any, places: Places | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._places = places or Places(1)
        self._received = b""  # and not parsed
        self._in_message = False
        self._in_head = False
        self._framing_bytes = 0  # of the head, or of the body beyond what it has paid for, or between two requests
        self._body_left: int | None = None  # of a declared length
        self._ending = b""  # the last three bytes before the next piece, when they may begin an empty line
        self._unread_bytes = 0
        self._steps = 0  # in this turn
        self._offer: bytes | None = None  # the head of a request that offers an upgrade, without the offer
        self._at_eof = False
        self._refused: Problem | None = None  # nothing is parsed after it
        self._deadline: asyncio.TimerHandle | None = None  # for the rest of a head or of a body
        self._watch: asyncio.TimerHandle | None = None
        self._idle_since = 0.0
        self._idle: asyncio.TimerHandle | None = None  # one for many requests: a timer each takes 3% of a small one
        self.app_state = {**self.app_state, WHOLE: self.send_whole}

    @property
    def buffered_bytes(self) -> int:
        """What is kept of the peer's bytes here, and of ours until its socket takes them."""
        cycle: RequestResponseCycle | None = self.cycle
        body = 0 if cycle is None else len(cycle.body)
        return len(self._received) + body + self.transport.get_write_buffer_size()

    # What the loop calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """A peer has connected: its first head is due."""
        super().connection_made(CoalescingTransport(transport, self.loop))  # type: ignore[arg-type]  # duck-typed
        self.flow = _Flow(self.transport, self._go_on)
        self._places.expect_request(self, first=True)
        self._deadline = self.loop.call_later(HEAD_DEADLINE_S, self._refuse, _HEAD_TOO_SLOW)

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer is gone."""
        self._places.leave(self)
        self._received = b""
        self._arrived()
        for timer in (self._idle, self._watch):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes have come in: parse them, answer what is no HTTP."""
        self._parse(data)

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio's own is bool | None
        """The peer sends nothing more: close, unless an answer is due to it."""
        self._at_eof = True
        if not self._is_endless() if self._answer_is_due() else self._received:
            self._start_watch()
        else:
            self.transport.close()
        return True  # or the loop would close what is below our transport, and lose what that has not sent

    # What the parser calls

    def on_message_begin(self) -> None:
        """A request's first byte."""
        self._in_message = self._in_head = True
        self._body_left = None
        self._unread_bytes = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header. Trailers after a chunked body are dropped (RFC 9112, 7.1.2): nothing here reads any."""
        if self._in_head:
            if len(self.headers) >= MAX_HEADERS:
                raise _HEAD_TOO_LARGE
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """A request's head is whole: start to answer it."""
        if self._framing_bytes > MAX_HEAD_BYTES:
            raise _HEAD_TOO_LARGE
        self._in_head = False
        self._framing_bytes = 0
        self._arrived()
        for name, value in self.headers:
            if name == b"content-length":
                self._body_left = int(value)  # the parser let only digits through
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._offer = self._head_without_offer()
        else:
            self._places.serve(self)
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Some of a request's body."""
        self._steps += 1
        self._framing_bytes = max(0, self._framing_bytes - _PAYS_FOR * len(body))
        if self._body_left is not None:
            self._body_left -= len(body)
        if self.cycle.response_complete or self.scope["method"] != "POST":
            self._unread_bytes += len(body)
            if self._unread_bytes > MAX_UNREAD_BYTES:
                raise _UNREAD_TOO_LARGE
        else:
            self.cycle.body += body
            self.cycle.message_event.set()

    def on_message_complete(self) -> None:
        """A request is whole."""
        self._in_message = False
        self._framing_bytes = 0
        self._arrived()
        if self._offer is None:
            super().on_message_complete()

    # What uvicorn's request calls

    def on_response_complete(self) -> None:
        """An answer is written: go on with what has come in since, or wait for more."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        self._idle_since = self.loop.time()
        if self._idle is None:
            self._idle = self.loop.call_later(self.timeout_keep_alive, self._close_if_idle)
        if self._refused is not None:
            self._answer(self._refused)
        elif self._at_eof and not self._received:
            self.transport.close()
        else:
            self._places.expect_request(self)

    def send_whole(self, status: int, headers: Headers, body: bytes) -> bool:
        """Answer the request under way in one piece, for a third of what two ASGI messages cost; False: use these.

        `headers` are ours: nothing in them is looked at.
        """
        cycle: RequestResponseCycle = self.cycle
        if cycle.disconnected:
            return True
        if cycle.response_started or self.flow.write_paused:
            return False
        content = [STATUS_LINE[status]]
        for name, value in (*self.server_state.default_headers, *headers):
            content += (name, b": ", value, b"\r\n")
        closing = b"" if cycle.keep_alive else b"connection: close\r\n"
        content += (b"content-length: %d\r\n%b\r\n" % (len(body), closing), body)
        data = b"".join(content)  # whoever catches a MemoryError up to here can still answer
        cycle.waiting_for_100_continue = False
        cycle.response_started = cycle.response_complete = True
        self.transport.write(data)
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()
        return True

    # What the server calls when it stops

    def give_up(self) -> None:
        """End what is under way: with an answer where one is due and none has begun."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete or cycle.response_started:
            self.transport.abort()
        else:
            _disconnect(cycle)
            self._answer(_STOPPED_IN_A_POST if cycle.scope["method"] == "POST" else _STOPPING)

    def refuse_unread(self) -> None:
        """Say that there is no memory, past the loop, which is about to cut the peer off; unless it is being answered.

        Its request, if one was under way, ends with the connection.
        """
        cycle: RequestResponseCycle | None = self.cycle
        is_answered = cycle is not None and not cycle.response_complete and not cycle.more_body
        if is_answered or self._refused is not None or self.transport.get_write_buffer_size():
            return
        with contextlib.suppress(OSError, MemoryError):
            os.write(self.transport.get_extra_info("socket").fileno(), _NO_MEMORY_ANSWER)

    def _parse(self, more: bytes = b"") -> None:
        """Parse what has come in up to the end of a request; the rest waits for the answer, or for the next turn."""
        try:
            self._received = self._received + more if self._received else more
            self._parse_received()
        except MemoryError:
            try:
                self._refuse(NO_MEMORY)
            except MemoryError:
                self.transport.abort()

    def _parse_received(self) -> None:
        if self.transport.is_closing():
            self._received = b""
            return
        data, start = self._received, 0
        view = memoryview(data)
        self._steps = 0
        while start < len(data) and self._refused is None and not self._must_wait():
            if self._steps >= _STEPS_A_TURN:
                self.loop.call_soon(self._parse)
                break
            start += self._feed(view[start : self._end_of_piece(data, start)])
        self._received = data[start:] if start < len(data) else b""
        self._wait()

    def _end_of_piece(self, data: bytes, start: int) -> int:
        """Up to where to parse next, so that a request's end is a piece's end too."""
        before, self._ending = self._ending, b""
        if not self._in_head and self._in_message and self._body_left is not None:
            return start + min(self._body_left, _PIECE_BYTES)
        if before:  # the empty line may have come in two parts
            found = (before + data[start : start + 3]).find(_END_OF_HEAD)
            if found >= 0:
                return start + found + len(_END_OF_HEAD) - len(before)
        limit = start + (_CHUNKED_PIECE_BYTES if self._in_message and not self._in_head else _PIECE_BYTES)
        found = data.find(_END_OF_HEAD, start, limit)
        if found >= 0:
            return found + len(_END_OF_HEAD)
        self._ending = (before + data[start:limit])[-3:]
        return limit

    def _feed(self, piece: memoryview | bytes) -> int:
        """Parse a piece, or only its first bytes when a head with an offer ends there. Returns how many they are."""
        self._steps += 1
        self._framing_bytes += len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            if self._offer is not None:
                head, self._offer = self._offer, None
                self._feed(head)
            return cast("int", upgrade.args[0])
        except httptools.HttpParserError as error:
            self._refuse(_problem_of_parser(error))
        else:
            if not self._in_message:
                if self._framing_bytes > _MAX_BLANK_BYTES:
                    self._refuse(_NOT_HTTP)
            elif self._framing_bytes > MAX_HEAD_BYTES:
                self._refuse(_HEAD_TOO_LARGE if self._in_head else _TOO_MUCH_FRAMING)
        return len(piece)

    def _must_wait(self) -> bool:
        """Whether what comes next is not parsed yet: a request waits for its answer, or its reader for its time."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete:
            return False
        return len(cycle.body) > HIGH_WATER_LIMIT if cycle.more_body else True

    def _answer_is_due(self) -> bool:
        """Whether a whole request waits for its answer."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.more_body and not cycle.response_complete

    def _is_endless(self) -> bool:
        """Whether the answer under way ends only when its reader goes."""
        return ENDLESS in self.cycle.scope["state"]

    def _go_on(self) -> None:
        """What flow control calls when more can be taken in."""
        if self._received:
            self.loop.call_soon(self._parse)
        elif not self._at_eof:
            self.flow.read_on()

    def _wait(self) -> None:
        """Set up what is waited for after parsing."""
        if self._refused is not None:
            return
        if len(self._received) > MAX_AHEAD_BYTES:
            self.flow.pause_reading()
            if self._answer_is_due():
                self._start_watch()
        elif not self._at_eof:
            self.flow.read_on()
        elif not self._received and not self._answer_is_due():
            self.transport.close()
        if self._in_message and self._deadline is None:
            self._deadline = (
                self.loop.call_later(HEAD_DEADLINE_S, self._refuse, _HEAD_TOO_SLOW)
                if self._in_head
                else self.loop.call_later(BODY_DEADLINE_S, self._refuse, _BODY_TOO_SLOW)
            )

    def _arrived(self) -> None:
        """A head or a body is whole."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close_if_idle(self) -> None:
        """Close the connection when its peer has asked nothing for too long; look again later when it has."""
        self._idle = None
        if self._in_message or not self.cycle.response_complete:
            return  # the answer sets the timer anew
        left_s = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left_s > 0:
            self._idle = self.loop.call_later(left_s, self._close_if_idle)
        else:
            self.transport.close()

    def _start_watch(self) -> None:
        if self._watch is None:
            self._watch = self.loop.call_later(_LOOK_S, self._look)

    def _look(self) -> None:
        """Find out whether a peer is still there that cannot be read from, and end what it asked for if it is not.

        A peer that has gone and one that has only closed its sending side look alike until something is sent. So who
        waits for a search gets an interim answer (RFC 9110, 15.2), which only a peer that is gone refuses.
        """
        self._watch = None
        if self.transport.is_closing() or not self._answer_is_due():
            return
        events = self._events()
        if events & _GONE or (events & _SENDS_NO_MORE and self._is_endless()):
            self.transport.abort()
            return
        cycle = self.cycle
        if (
            (self._at_eof or self.flow.read_paused)
            and not cycle.response_started
            and cycle.scope["method"] == "GET"
            and cycle.scope["http_version"] == "1.1"
        ):
            self.transport.write(_CONTINUE)
            self.loop.call_later(_RESET_S, self._end_if_gone)
        self._start_watch()

    def _end_if_gone(self) -> None:
        if not self.transport.is_closing() and self._events() & _GONE:
            self.transport.abort()

    def _events(self) -> int:
        """What poll(2) says of the connection."""
        poll = select.poll()
        try:
            poll.register(self.transport.get_extra_info("socket").fileno(), _SENDS_NO_MORE)
        except (OSError, ValueError):  # closed meanwhile
            return _GONE
        return sum(events for _, events in poll.poll(0))

    def _head_without_offer(self) -> bytes:
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            if name == b"connection":
                kept = [token for token in value.split(b",") if token.strip().lower() not in _UPGRADE_TOKENS]
                lines.append(b"connection: " + b",".join(kept))
            elif name not in _UPGRADE_TOKENS:
                lines.append(b"%b: %b" % (name, value))
        return b"\r\n".join([*lines, b"", b""])

    def _refuse(self, problem: Problem) -> None:
        """Answer and close, once the requests before it have their answers."""
        self._refused = problem
        self._received = b""
        self._arrived()
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete:
            if cycle is not None and self._in_message and not self._in_head:
                self.transport.close()  # its own answer has been given
            else:
                self._answer(problem)
        elif cycle.more_body:  # it is this request's own body that cannot be read; nobody else answers it
            started = cycle.response_started
            _disconnect(cycle)
            if started:
                self.transport.abort()
            else:
                self._answer(problem)

    def _answer(self, problem: Problem) -> None:
        self.transport.write(_NO_MEMORY_ANSWER if problem is NO_MEMORY else whole_answer(problem))
        self.transport.close()


def _disconnect(cycle: RequestResponseCycle) -> None:
    """Let the application know that nothing more can be sent."""
    cycle.disconnected = True
    cycle.message_event.set()


def _problem_of_parser(error: httptools.HttpParserError) -> Problem:
    """What stopped the parser: bytes that are no HTTP, or one of the methods that it calls."""
    cause = error.__context__
    if isinstance(cause, Problem):
        return cause
    if isinstance(cause, MemoryError):
        return NO_MEMORY
    if isinstance(cause, OSError):
        return problem_of(cause)
    return _NOT_HTTP
