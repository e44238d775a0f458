"""Requests that are wrong before their body matters: queries, ids, methods, headers, framing, and half of a request."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Iterator

import pytest

from tests.daemon.http.refusals import assert_problem, assert_refused, event_count
from tests.daemon.http.wire import AnswerReader, connected, exchange, read_answer, request
from tests.daemon_process import DaemonProcess

JSON = {"Content-Type": "application/json"}
CHUNKED = JSON | {"Transfer-Encoding": "chunked"}
GOOD = b'{"kind":"other","source":"s"}'

ROUTES = {
    "/": "GET",
    "/healthz": "GET",
    "/readyz": "GET",
    "/events": "GET, POST",
    "/events/batch": "POST",
    "/events/1": "GET",
    "/events/1/canonical": "GET",
    "/stream": "GET",
    "/events/stream": "GET",
    "/verify": "GET",
    "/stats": "GET",
    "/metrics": "GET",
    "/schema": "GET",
}


@pytest.fixture(autouse=True, scope="module")
def _one_event(daemon: DaemonProcess) -> None:
    assert exchange(daemon.port, request("POST", "/events", JSON, GOOD)).status == 201


BAD_QUERIES = {
    "limit=0": (400, "limit must be in 1..100000"),
    "limit=100001": (400, "limit must be in 1..100000"),
    "limit=-1": (400, "limit"),
    "limit=abc": (400, "limit"),
    "limit=": (400, "limit"),
    "limit": (400, "limit"),
    "limit=1.0": (400, "limit"),
    "limit=1e3": (400, "limit"),
    "limit=+1": (400, "limit"),
    "limit=%201": (400, "limit"),
    "limit=1_0": (400, "limit"),
    "limit=%D9%A3": (400, "limit"),  # a digit, but not one of ours
    "limit=" + "9" * 5000: (400, "limit"),
    "limit=1&limit=1": (400, "limit"),
    "since_id=-1": (400, "since_id"),
    "since_id=x": (400, "since_id"),
    "since_id=9223372036854775808": (400, "since_id"),
    "before_id=0": (400, "before_id"),
    "before_id=x": (400, "before_id"),
    "before_id=9223372036854775808": (400, "before_id"),
    "order=up": (400, "order"),
    "order=": (400, "order"),
    "order=ASC": (400, "order"),
    "kind=nope": (400, "kind"),
    "kind=": (400, "kind"),
    "kind=other&kind=nope": (400, "kind"),
    "kind=%00": (400, "kind"),
    "source=": (400, "source"),
    "since=yesterday": (400, "since"),
    "since=": (400, "since"),
    "since=2026-05-15": (400, "since"),
    "since=2026-05-15T00:00:00": (400, "since"),
    "since=2026-02-30T00:00:00Z": (400, "since"),
    "until=x": (400, "until"),
    "since=2026-05-15T00:00:00Z&since=2026-05-15T00:00:00Z": (400, "since"),
    "q=kind:": (400, "q, at position"),
    "q=payload.n:%3Etwo": (400, "q, at position"),
    "q=%22open": (400, "q, at position"),
    "q=a&q=b": (400, "q"),
    "q=severity:loud": (400, "q, at position"),
    "colour=red": (400, "colour"),
    "Kind=other": (400, "Kind"),
    "kinds=other": (400, "kinds"),
    "%00=1": (400, "unknown parameter"),
    "%": (400, "unknown parameter"),
    "limit=%ff": (400, "UTF-8"),
    "kind=%ed%a0%80": (400, "UTF-8"),
    "&".join(f"source=s{number}" for number in range(1000)): (400, "parameters"),
}


@pytest.mark.parametrize("query", BAD_QUERIES, ids=lambda query: query[:40])
def test_a_bad_query_is_refused_by_parameter(daemon: DaemonProcess, query: str) -> None:
    status, name = BAD_QUERIES[query]
    assert_refused(daemon, request("GET", f"/events?{query}"), status, name)


STREAM_QUERIES = ["kind=nope", "source=", "since=x", "until=x", "q=kind:", "since_id=x", "limit=1", "order=asc", "x=1"]


@pytest.mark.parametrize("query", STREAM_QUERIES)
@pytest.mark.parametrize("target", ["/stream", "/events/stream"])
def test_a_bad_query_of_a_stream_is_refused_by_parameter(daemon: DaemonProcess, target: str, query: str) -> None:
    name = query.partition("=")[0]
    assert_refused(daemon, request("GET", f"{target}?{query}"), 400, name)


@pytest.mark.parametrize(
    "target", [target for target in ROUTES if target not in ("/events/batch", "/events", "/stream", "/events/stream")]
)
def test_an_unknown_parameter_is_refused_by_name_on_every_route(daemon: DaemonProcess, target: str) -> None:
    assert_refused(daemon, request("GET", f"{target}?colour=red"), 400, "colour")


IDS = {
    "0": 404,
    "-1": 404,
    "2000000000": 404,
    "9223372036854775807": 404,
    "9223372036854775808": 404,
    "9" * 5000: 404,
    "x": 422,
    "1.5": 422,
    "+1": 422,
    "1e0": 422,
    "0x1": 422,
    "%201": 422,
    "1%0A": 422,
    "%00": 422,
    "%ff": 422,
    "%D9%A3": 422,
    "..": 422,
}


@pytest.mark.parametrize("suffix", ["", "/canonical"])
@pytest.mark.parametrize("event_id", IDS, ids=lambda event_id: event_id[:20])
def test_an_id_out_of_range_or_no_id_is_refused(daemon: DaemonProcess, event_id: str, suffix: str) -> None:
    assert_refused(daemon, request("GET", f"/events/{event_id}{suffix}"), IDS[event_id], "event_id")


PATHS = [
    "/nope",
    "/events/1/nope",
    "/events/1/canonical/x",
    "/%00",
    "/../etc/passwd",
    "/%2e%2e/etc/passwd",
    "/favicon.ico",
]
PATHS += ["/stream/1", "/Events", "/docs", "*", "/" + "a" * 60_000, "/" + "a/" * 20_000]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:20])
def test_an_unknown_path_is_not_found(daemon: DaemonProcess, path: str) -> None:
    assert_refused(daemon, request("GET", path), 404, "there is no such endpoint")


METHODS = ["PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND", "QUERY"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("target", ROUTES)
def test_another_method_is_refused_with_those_that_are_taken(daemon: DaemonProcess, target: str, method: str) -> None:
    answer = assert_refused(daemon, request(method, target, JSON, GOOD), 405, "does not take this method")
    assert set(answer.headers["allow"].split(", ")) - {"OPTIONS"} == set(ROUTES[target].split(", "))


@pytest.mark.parametrize("target", [target for target, methods in ROUTES.items() if "POST" not in methods])
def test_a_post_elsewhere_is_refused(daemon: DaemonProcess, target: str) -> None:
    answer = assert_refused(daemon, request("POST", target, JSON, GOOD), 405, "does not take this method")
    assert set(answer.headers["allow"].split(", ")) - {"OPTIONS"} == {"GET"}


def test_get_of_the_batch_route_is_refused(daemon: DaemonProcess) -> None:
    answer = assert_refused(daemon, request("GET", "/events/batch"), 405)
    assert set(answer.headers["allow"].split(", ")) - {"OPTIONS"} == {"POST"}


@pytest.mark.parametrize("target", ROUTES)
def test_head_is_refused_without_a_body(daemon: DaemonProcess, target: str) -> None:
    with connected(daemon.port) as connection:
        reader = AnswerReader(connection)
        connection.sendall(request("HEAD", target) + request("GET", "/healthz"))
        refused = reader.read(method="HEAD")
        assert (refused.status, refused.headers["content-type"]) == (405, "application/problem+json")
        assert reader.read().json() == {"status": "ok"}


@pytest.mark.parametrize("target", ROUTES)
def test_options_names_the_methods(daemon: DaemonProcess, target: str) -> None:
    answer = exchange(daemon.port, request("OPTIONS", target))
    assert answer.status == 204
    assert set(answer.headers["allow"].split(", ")) - {"OPTIONS"} == set(ROUTES[target].split(", "))


NOT_HTTP = {
    "garbage": b"garbage\r\n\r\n",
    "an unknown method": request("BREW", "/"),
    "a method in lower case": request("get", "/"),
    "HTTP/2 at once": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/1.2": request("GET", "/", version="1.2"),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,
    "bytes beyond ASCII in the path": b"GET /events/\xd9\xa3 HTTP/1.1\r\nHost: daemon\r\n\r\n",
    "a space in the path": b"GET /a b HTTP/1.1\r\nHost: daemon\r\n\r\n",
    "NUL in the path": b"GET /\x00 HTTP/1.1\r\nHost: daemon\r\n\r\n",
    "an absolute target without a path": request("GET", "http://daemon"),
    "an absolute target with a broken address": request("GET", "http://[::1/"),
    "CONNECT to another host": request("CONNECT", "example.org:443"),
    "a header name with a space": request("GET", "/", {"bad name": "1"}),
    "a header without a colon": b"GET / HTTP/1.1\r\nHost daemon\r\n\r\n",
    "a folded header": request("GET", "/", {"A": "b\r\n c"}),
    "NUL in a header": request("GET", "/", {"A": "b\x00c"}),
    "a bare line feed": b"GET / HTTP/1.1\nHost: daemon\n\n",
    "Content-Length abc": request("POST", "/events", JSON | {"Content-Length": "abc"}, GOOD),
    "Content-Length -5": request("POST", "/events", JSON | {"Content-Length": "-5"}, GOOD),
    "Content-Length +29": request("POST", "/events", JSON | {"Content-Length": "+29"}, GOOD),
    "Content-Length of 40 digits": request("POST", "/events", JSON | {"Content-Length": "9" * 40}, GOOD),
    "two Content-Lengths": request("POST", "/events", JSON | {"Content-Length": "29", "content-length": "30"}, GOOD),
    "Content-Length and chunks": request(
        "POST", "/events", CHUNKED | {"Content-Length": "29"}, b"1d\r\n" + GOOD + b"\r\n0\r\n\r\n"
    ),
    "an unknown transfer coding": request("POST", "/events", JSON | {"Transfer-Encoding": "gzip"}, GOOD),
    "a bad chunk size": request("POST", "/events", CHUNKED, b"zz\r\n" + GOOD),
    "a negative chunk size": request("POST", "/events", CHUNKED, b"-1\r\n" + GOOD),
    "a chunk size of 40 digits": request("POST", "/events", CHUNKED, b"f" * 40 + b"\r\n" + GOOD),
}


@pytest.mark.parametrize("name", NOT_HTTP)
def test_what_is_no_http_gets_a_problem_too_and_the_connection_closed(daemon: DaemonProcess, name: str) -> None:
    before = event_count(daemon)
    with connected(daemon.port) as connection:
        connection.sendall(NOT_HTTP[name])
        reader = AnswerReader(connection)
        assert_problem(reader.read(), 400)
        assert reader.at_end()
    assert event_count(daemon) == before


HUGE_HEADS = {
    "one header": request("GET", "/stats", {"X": "a" * 5_000_000}),
    "one header just over": request("GET", "/stats", {"X": "a" * 65_536}),
    "a header's name": request("GET", "/stats", {"a" * 5_000_000: "1"}),
    "many headers": request("GET", "/stats", {f"X-{number}": "a" for number in range(20_000)}),
    "the path": request("GET", "/" + "a" * 5_000_000),
    "the query": request("GET", "/events?q=" + "a" * 5_000_000),
    "an Idempotency-Key": request("POST", "/events", JSON | {"Idempotency-Key": "a" * 100_000}, GOOD),
}


@pytest.mark.parametrize("name", HUGE_HEADS)
def test_a_huge_head_is_refused(daemon: DaemonProcess, name: str) -> None:
    assert_refused(daemon, HUGE_HEADS[name], 431, "65536 bytes")


def test_an_endless_header_is_refused_while_it_is_sent(daemon: DaemonProcess) -> None:
    with connected(daemon.port) as connection:
        connection.sendall(b"GET /stats HTTP/1.1\r\nX: ")
        sent = _send_until_answered(connection, b"a" * 16_384)
        assert_problem(read_answer(connection), 431)
    assert sent < 32 << 20  # what sockets buffer; without a limit it would have gone on for ever


def test_a_head_of_60_kib_is_read(daemon: DaemonProcess) -> None:
    assert exchange(daemon.port, request("GET", "/stats", {"X": "a" * 60_000})).status == 200


@pytest.mark.parametrize("target", ["/events", "/events/batch"])
def test_a_declared_body_over_the_limit_is_refused_before_it_is_sent(daemon: DaemonProcess, target: str) -> None:
    head = request("POST", target, JSON | {"Content-Length": str(10**18)})
    assert_refused(daemon, head, 413, "larger than")


@pytest.mark.parametrize("target", ["/events", "/events/batch"])
def test_an_endless_chunked_body_is_refused_while_it_is_sent(daemon: DaemonProcess, target: str) -> None:
    before = event_count(daemon)
    with connected(daemon.port) as connection:
        connection.sendall(request("POST", target, CHUNKED))
        _send_until_answered(connection, b"8000\r\n" + b" " * 0x8000 + b"\r\n")
        reader = AnswerReader(connection)
        assert_problem(reader.read(), 413, "larger than")
        assert reader.at_end()
    assert event_count(daemon) == before


def _send_until_answered(connection: socket.socket, data: bytes) -> int:
    """Send the same bytes again and again until the daemon has something to say; how many bytes that took."""
    sent = 0
    while not select.select([connection], [], [], 0)[0]:
        with contextlib.suppress(ConnectionError):
            connection.sendall(data)
        sent += len(data)
    return sent


def test_a_chunked_body_within_the_limit_is_stored(daemon: DaemonProcess) -> None:
    body = b"".join(b"1\r\n%c\r\n" % byte for byte in GOOD) + b"0\r\n\r\n"
    assert exchange(daemon.port, request("POST", "/events", CHUNKED, body)).status == 201


@pytest.mark.parametrize("target", ["/nope", "/stats", "/verify"])
def test_a_body_that_nobody_reads_does_not_disturb_the_next_request(daemon: DaemonProcess, target: str) -> None:
    with connected(daemon.port) as connection:
        reader = AnswerReader(connection)
        connection.sendall(request("POST", target, JSON, b"GET /healthz HTTP/1.1\r\n\r\n" * 10_000))
        assert_problem(reader.read(), 404 if target == "/nope" else 405)
        connection.sendall(request("GET", "/stats"))
        assert "count" in reader.read().json()


def test_pipelined_requests_are_answered_in_order(daemon: DaemonProcess) -> None:
    before = event_count(daemon)
    with connected(daemon.port) as connection:
        reader = AnswerReader(connection)
        posts = request("POST", "/events", JSON, GOOD) + request("POST", "/events", JSON, b"{}")
        connection.sendall((posts + request("GET", "/nope")) * 20)
        statuses = [reader.read().status for _ in range(60)]
    assert statuses == [201, 422, 404] * 20
    assert event_count(daemon) == before + 20


def test_http_1_0_is_answered_and_closed(daemon: DaemonProcess) -> None:
    with connected(daemon.port) as connection:
        connection.sendall(b"GET /stats HTTP/1.0\r\n\r\n")
        reader = AnswerReader(connection)
        assert reader.read().status == 200
        assert reader.at_end()


def test_an_absolute_target_is_read_as_its_path(daemon: DaemonProcess) -> None:
    assert exchange(daemon.port, request("GET", "http://daemon/healthz")).json() == {"status": "ok"}


@pytest.mark.parametrize("path", ["/events/1%2Fcanonical", "//healthz", "/healthz/", "/events//1", "/events/%31"])
def test_an_odd_spelling_of_a_path_is_answered_or_refused(daemon: DaemonProcess, path: str) -> None:
    answer = exchange(daemon.port, request("GET", path))
    if answer.status != 200:
        assert_problem(answer, 404)


@pytest.mark.parametrize("path", ["/events/", "//events", "/events/batch/"])
def test_a_post_to_a_misspelt_route_is_told_the_right_one(daemon: DaemonProcess, path: str) -> None:
    assert_refused(daemon, request("POST", path, JSON, GOOD), 404, "/events or /events/batch")


UPGRADE = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAARAAAAAAAIAAAAA"}


def test_an_offer_to_upgrade_is_ignored_and_the_event_stored(daemon: DaemonProcess) -> None:
    """As Java's HttpClient sends its first request to a plain-text address."""
    before = event_count(daemon)
    with connected(daemon.port) as connection:
        reader = AnswerReader(connection)
        connection.sendall(request("POST", "/events", JSON | UPGRADE, GOOD))
        assert reader.read().status == 201
        connection.sendall(request("POST", "/events", JSON | UPGRADE, GOOD) + request("GET", "/stats"))
        assert reader.read().status == 201
        assert reader.read().json()["count"] == before + 2


def test_an_offer_to_upgrade_is_ignored_however_the_request_is_cut(daemon: DaemonProcess) -> None:
    data = request("POST", "/events", CHUNKED | UPGRADE, b"1d\r\n" + GOOD + b"\r\n0\r\n\r\n")
    for cut in range(1, len(data), 37):
        with connected(daemon.port) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(data[:cut])
            assert exchange(daemon.port, request("GET", "/healthz")).status == 200  # the first part has been read
            connection.sendall(data[cut:])
            assert read_answer(connection).status == 201


def test_an_upgrade_to_a_websocket_is_answered_as_a_plain_request(daemon: DaemonProcess) -> None:
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "x"}
    assert exchange(daemon.port, request("GET", "/healthz", headers)).json() == {"status": "ok"}


def test_expect_100_continue_is_honoured(daemon: DaemonProcess) -> None:
    with connected(daemon.port) as connection:
        reader = AnswerReader(connection)
        connection.sendall(request("POST", "/events", JSON | {"Expect": "100-continue", "Content-Length": "29"}))
        assert reader.read_head()[0] == 100
        connection.sendall(GOOD)
        assert reader.read().status == 201


def test_expect_100_continue_of_a_body_over_the_limit_is_refused_at_once(daemon: DaemonProcess) -> None:
    headers = JSON | {"Expect": "100-continue", "Content-Length": str(17 << 20)}
    assert_refused(daemon, request("POST", "/events/batch", headers), 413)


def test_a_producer_that_hangs_up_in_its_body_stores_nothing(daemon: DaemonProcess) -> None:
    before = event_count(daemon)
    for _ in range(20):
        with connected(daemon.port) as connection:
            connection.sendall(request("POST", "/events", JSON | {"Content-Length": "1000"}, GOOD))
    assert event_count(daemon) == before
    assert exchange(daemon.port, request("POST", "/events", JSON, GOOD)).status == 201


@contextlib.contextmanager
def _half_sent(port: int, half: bytes, count: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(connected(port)) for _ in range(count)]
        for connection in connections:
            connection.sendall(half)
        yield connections


HALVES = {
    "half a request line": b"POST /eve",
    "half a header": b"POST /events HTTP/1.1\r\nHost: daemon\r\nContent-Ty",
    "half a body": request("POST", "/events", JSON | {"Content-Length": str(len(GOOD))}, GOOD[:10]),
    "half a chunk": request("POST", "/events/batch", CHUNKED, b"ffff\r\n["),
    "nothing": b"",
}


@pytest.mark.parametrize("name", HALVES)
def test_200_half_sent_requests_do_not_hold_up_others(daemon: DaemonProcess, name: str) -> None:
    before = event_count(daemon)
    with _half_sent(daemon.port, HALVES[name], 200):
        for _ in range(5):
            assert exchange(daemon.port, request("POST", "/events", JSON, GOOD)).status == 201
        assert exchange(daemon.port, request("GET", "/verify")).json()["valid"] is True
    assert event_count(daemon) == before + 5


def test_200_half_sent_requests_are_answered_when_their_other_half_comes(daemon: DaemonProcess) -> None:
    before = event_count(daemon)
    whole = request("POST", "/events", JSON, GOOD)
    with _half_sent(daemon.port, whole[:-10], 200) as connections:
        assert event_count(daemon) == before
        for connection in connections:
            connection.sendall(whole[-10:])
        assert [read_answer(connection).status for connection in connections] == [201] * 200
    assert event_count(daemon) == before + 200
