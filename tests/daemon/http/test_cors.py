"""Which web pages may talk to the daemon."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.daemon.http.refusals import assert_problem, assert_refused, event_count
from tests.daemon.http.wire import Answer, AnswerReader, connected, exchange, request
from tests.daemon_process import DaemonProcess, start_daemon

ALLOWED, OTHER = "https://governance.example", "https://evil.example"
JSON = {"Content-Type": "application/json"}
GOOD = b'{"kind":"other","source":"s"}'


@pytest.fixture(scope="module")
def open_to_one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    origins = {"AUDIT_STREAM_CORS_ORIGINS": f"{ALLOWED}/, http://localhost:5173"}
    with start_daemon(tmp_path_factory.mktemp("cors") / "audit.db", env=origins) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def open_to_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    with start_daemon(tmp_path_factory.mktemp("cors") / "audit.db", env={"AUDIT_STREAM_CORS_ORIGINS": "*"}) as daemon:
        yield daemon


def cors_headers(answer: Answer) -> set[str]:
    return {name for name in answer.headers if name.startswith("access-control-")}


def preflight(daemon: DaemonProcess, origin: str, target: str = "/events") -> Answer:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,idempotency-key",
    }
    return exchange(daemon.port, request("OPTIONS", target, headers))


@pytest.mark.parametrize("origin", [ALLOWED, "http://localhost:5173"])
@pytest.mark.parametrize("target", ["/", "/events", "/events?limit=0", "/events/77", "/events/x", "/nope", "/verify"])
def test_a_page_of_an_allowed_origin_may_read_every_answer(
    open_to_one: DaemonProcess, target: str, origin: str
) -> None:
    answer = exchange(open_to_one.port, request("GET", target, {"Origin": origin}))
    assert answer.headers["access-control-allow-origin"] == origin
    assert "origin" in answer.headers["vary"].lower()


def test_a_page_of_an_allowed_origin_may_read_the_headers_that_matter(open_to_one: DaemonProcess) -> None:
    answer = exchange(open_to_one.port, request("GET", "/events", {"Origin": ALLOWED}))
    exposed = answer.headers["access-control-expose-headers"].lower().split(", ")
    assert {"link", "retry-after", "idempotent-replayed"} <= set(exposed)


@pytest.mark.parametrize("target", ["/stream", "/events/stream"])
def test_a_page_of_an_allowed_origin_may_follow_a_stream(open_to_one: DaemonProcess, target: str) -> None:
    with connected(open_to_one.port) as connection:
        connection.sendall(request("GET", target, {"Origin": ALLOWED, "Accept": "text/event-stream"}))
        status, headers = AnswerReader(connection).read_head()
    assert (status, headers["access-control-allow-origin"]) == (200, ALLOWED)


@pytest.mark.parametrize("body", [GOOD, b"{}", b'{"kind":'])
def test_a_page_of_an_allowed_origin_may_post_and_read_the_answer(open_to_one: DaemonProcess, body: bytes) -> None:
    answer = exchange(open_to_one.port, request("POST", "/events", JSON | {"Origin": ALLOWED}, body))
    assert answer.status == (201 if body == GOOD else 422)
    assert answer.headers["access-control-allow-origin"] == ALLOWED


@pytest.mark.parametrize("target", ["/events", "/events/batch"])
def test_a_page_of_an_allowed_origin_is_told_in_advance_that_it_may_post(
    open_to_one: DaemonProcess, target: str
) -> None:
    answer = preflight(open_to_one, ALLOWED, target)
    assert answer.status in (200, 204)
    assert answer.headers["access-control-allow-origin"] == ALLOWED
    assert "POST" in answer.headers["access-control-allow-methods"].split(", ")
    allowed = answer.headers["access-control-allow-headers"].lower().split(", ")
    assert {"content-type", "idempotency-key", "last-event-id", "authorization"} <= set(allowed)


FOREIGN = [OTHER, "null", ALLOWED + ".evil.example", ALLOWED.upper(), ALLOWED + ":444", "http://governance.example", ""]


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_page_of_another_origin_gets_no_permission_to_read(open_to_one: DaemonProcess, origin: str) -> None:
    answer = exchange(open_to_one.port, request("GET", "/events", {"Origin": origin}))
    assert answer.status == 200  # a browser keeps the answer from the page
    assert cors_headers(answer) == set()
    assert "origin" in answer.headers["vary"].lower()  # or a cache would hand it to an allowed page


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("target", ["/events", "/events/batch", "/stats"])
def test_a_post_of_a_page_of_another_origin_is_refused(open_to_one: DaemonProcess, target: str, origin: str) -> None:
    answer = assert_refused(
        open_to_one,
        request("POST", target, JSON | {"Origin": origin}, GOOD),
        403,
        "AUDIT_STREAM_CORS_ORIGINS",
    )
    assert cors_headers(answer) == set()


def test_a_preflight_of_another_origin_is_refused(open_to_one: DaemonProcess) -> None:
    answer = preflight(open_to_one, OTHER)
    assert_problem(answer, 403, "AUDIT_STREAM_CORS_ORIGINS")
    assert cors_headers(answer) == set()


@pytest.mark.parametrize("content_type", [{}, {"Content-Type": "text/plain"}])
def test_what_a_page_may_send_without_asking_is_refused_too(
    open_to_one: DaemonProcess, content_type: dict[str, str]
) -> None:
    assert_refused(open_to_one, request("POST", "/events", content_type | {"Origin": OTHER}, GOOD), 403)


def test_star_allows_every_page(open_to_all: DaemonProcess) -> None:
    assert (
        exchange(open_to_all.port, request("GET", "/", {"Origin": OTHER})).headers["access-control-allow-origin"] == "*"
    )
    assert preflight(open_to_all, OTHER).headers["access-control-allow-origin"] == "*"
    assert exchange(open_to_all.port, request("POST", "/events", JSON | {"Origin": "null"}, GOOD)).status == 201


def test_no_page_is_allowed_credentials(open_to_one: DaemonProcess, open_to_all: DaemonProcess) -> None:
    for daemon in (open_to_one, open_to_all):
        assert "access-control-allow-credentials" not in preflight(daemon, ALLOWED).headers


def test_without_the_setting_no_page_is_allowed(daemon: DaemonProcess) -> None:
    before = event_count(daemon)
    assert cors_headers(exchange(daemon.port, request("GET", "/events", {"Origin": ALLOWED}))) == set()
    assert preflight(daemon, ALLOWED).status == 403
    assert exchange(daemon.port, request("POST", "/events", JSON | {"Origin": ALLOWED}, GOOD)).status == 403
    assert event_count(daemon) == before


def test_without_an_origin_nothing_is_said_of_origins(open_to_one: DaemonProcess) -> None:
    answer = exchange(open_to_one.port, request("GET", "/events"))
    assert cors_headers(answer) == set()
