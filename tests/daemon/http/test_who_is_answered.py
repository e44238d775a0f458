"""A daemon that listens on all addresses, asked over one that is not loopback."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.daemon.http.refusals import assert_problem
from tests.daemon.http.wire import exchange, request
from tests.daemon_process import DaemonProcess, start_daemon

JSON = {"Content-Type": "application/json"}
GOOD = b'{"kind":"other","source":"s"}'


def _own_address() -> str | None:
    """An IPv4 address of this machine that is not loopback; asking for the route to it sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))
        except OSError:
            return None
        address: str = probe.getsockname()[0]
    return None if address.startswith("127.") else address


ADDRESS = _own_address()
pytestmark = pytest.mark.skipif(ADDRESS is None, reason="this machine has no address but loopback")


@contextmanager
def listening_everywhere(tmp_path: Path, grants: str = "", host: str = "0.0.0.0") -> Iterator[DaemonProcess]:
    with start_daemon(tmp_path / "audit.db", "--host", host, env={"AUDIT_STREAM_ANONYMOUS": grants}) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    with listening_everywhere(tmp_path_factory.mktemp("closed")) as daemon:
        yield daemon


@pytest.mark.parametrize("target", ["/", "/healthz", "/events", "/stream", "/verify", "/metrics", "/schema", "/nope"])
def test_a_stranger_is_told_the_setting_that_would_let_it_read(closed: DaemonProcess, target: str) -> None:
    answer = exchange(closed.port, request("GET", target), host=str(ADDRESS))
    assert_problem(answer, 401, f"its operator can add read@{ADDRESS}/32 to AUDIT_STREAM_ANONYMOUS")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("target", ["/events", "/events/batch"])
def test_a_stranger_is_told_the_setting_that_would_let_it_append(closed: DaemonProcess, target: str) -> None:
    answer = exchange(closed.port, request("POST", target, JSON, GOOD), host=str(ADDRESS))
    assert_problem(answer, 401, f"its operator can add append@{ADDRESS}/32 to AUDIT_STREAM_ANONYMOUS")
    assert exchange(closed.port, request("GET", "/stats")).json()["count"] == 0


def test_a_stranger_that_resets_its_connection_at_once_appends_nothing(closed: DaemonProcess) -> None:
    """Its address can be gone before the server asks for it."""
    for _ in range(200):
        with socket.socket() as stranger:
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            stranger.connect((str(ADDRESS), closed.port))
            stranger.sendall(request("POST", "/events", JSON, GOOD))
    assert exchange(closed.port, request("GET", "/stats")).json()["count"] == 0


def test_no_header_makes_a_stranger_a_friend(closed: DaemonProcess) -> None:
    forged = {"X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1", "X-Real-IP": "::1", "Host": "127.0.0.1"}
    answer = exchange(closed.port, request("GET", "/stats", forged), host=str(ADDRESS))
    assert answer.status == 401


def test_a_token_does_not_open_what_is_closed(closed: DaemonProcess) -> None:
    headers = {"Authorization": "Bearer 0123456789abcdef0123456789abcdef"}
    assert exchange(closed.port, request("GET", "/stats", headers), host=str(ADDRESS)).status == 401


@pytest.mark.parametrize("authorization", ["Bearer 0123456789abcdef0123456789abcdef", "Basic eDp5", "garbage", ""])
def test_an_authorization_header_is_ignored(daemon: DaemonProcess, authorization: str) -> None:
    headers = JSON | {"Authorization": authorization}
    assert exchange(daemon.port, request("POST", "/events", headers, GOOD)).status == 201
    assert exchange(daemon.port, request("GET", "/stats", headers)).status == 200


def test_loopback_is_answered_without_a_setting(closed: DaemonProcess) -> None:
    assert exchange(closed.port, request("GET", "/stats")).status == 200


def test_a_refusal_does_not_wait_for_the_body(closed: DaemonProcess) -> None:
    headers = JSON | {"Content-Length": "1000000"}
    assert exchange(closed.port, request("POST", "/events", headers), host=str(ADDRESS)).status == 401


def test_the_grant_that_a_refusal_names_lets_the_peer_in(tmp_path: Path) -> None:
    with listening_everywhere(tmp_path) as daemon:
        refusal = exchange(daemon.port, request("GET", "/stats"), host=str(ADDRESS)).json()["detail"]
    grant = refusal.partition(" can add ")[2].partition(" to ")[0]
    with listening_everywhere(tmp_path, grant) as daemon:
        assert exchange(daemon.port, request("GET", "/stats"), host=str(ADDRESS)).status == 200
        assert exchange(daemon.port, request("POST", "/events", JSON, GOOD), host=str(ADDRESS)).status == 401


def test_a_granted_producer_appends_and_sees_no_more_than_that_the_daemon_is_there(tmp_path: Path) -> None:
    with listening_everywhere(tmp_path, f"append@{ADDRESS}/32") as daemon:
        outside = httpx.Client(base_url=f"http://{ADDRESS}:{daemon.port}")
        with outside:
            assert outside.post("/events", json={"kind": "other", "source": "s"}).status_code == 201
            seen = {path: outside.get(path).status_code for path in ("/", "/healthz", "/readyz", "/events", "/stats")}
        assert seen == {"/": 200, "/healthz": 200, "/readyz": 200, "/events": 401, "/stats": 401}


def test_ipv4_peers_of_an_ipv6_listener_are_known_by_their_ipv4_address(tmp_path: Path) -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    with listening_everywhere(tmp_path, f"read@{ADDRESS}/32", host="::") as daemon:
        assert exchange(daemon.port, request("GET", "/stats"), host=str(ADDRESS)).status == 200
        assert exchange(daemon.port, request("POST", "/events", JSON, GOOD)).status == 201
