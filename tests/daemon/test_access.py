"""Who is answered: the decision itself. tests/daemon/http/test_who_is_answered.py asks a daemon from outside."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from audit_daemon.access import Access, Grant, parse_grants


def scope(peer: str | None, method: str = "GET", path: str = "/events") -> dict[str, Any]:
    return {"client": None if peer is None else (peer, 50_000), "method": method, "path": path}


def answered(grants: str, peer: str | None, method: str = "GET", path: str = "/events") -> bool:
    return Access(parse_grants(grants)).refusal(scope(peer, method, path)) is None


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1", "0:0:0:0:0:0:0:1"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_loopback_is_always_answered(peer: str, method: str) -> None:
    assert answered("", peer, method)


@pytest.mark.parametrize(
    "peer", ["10.20.0.7", "192.0.2.1", "::ffff:10.20.0.7", "fd00::7", "fe80::1%eth0", "0.0.0.0", "::", "host", ""]
)
@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/events", "/stream"])
def test_nobody_else_is_answered_without_a_grant(peer: str, path: str) -> None:
    assert not answered("", peer, "GET", path)
    assert not answered("", peer, "POST", path)


def test_a_peer_that_is_gone_before_its_address_was_known_is_not_answered() -> None:
    """It sends a whole request and resets the connection: whoever it was, it must not append."""
    assert not answered("append@0.0.0.0/0", None)


@pytest.mark.parametrize(
    ("grants", "peer"),
    [
        ("read@10.20.0.7", "10.20.0.7"),
        ("read@10.20.0.7/32", "10.20.0.7"),
        ("read@10.20.0.0/16", "10.20.255.255"),
        ("read@0.0.0.0/0", "203.0.113.9"),
        ("read@fd00::/8", "fd12::1"),
        ("read@fd00::7/128", "fd00::7"),
        ("read@fe80::/10", "fe80::1%eth0"),
        ("read@10.20.0.0/16", "::ffff:10.20.0.7"),
        ("read@::ffff:10.0.0.0/104", "10.20.0.7"),
        ("read@::ffff:10.0.0.0/104", "::ffff:10.20.0.7"),
        ("read@::ffff:10.20.0.7", "10.20.0.7"),
        ("read@::ffff:a14:7/128", "10.20.0.7"),
        ("read@::ffff:0:0/96", "203.0.113.9"),
        ("append@192.0.2.0/24, read@10.20.0.0/16", "10.20.0.7"),
    ],
)
def test_a_peer_of_a_granted_network_is_answered(grants: str, peer: str) -> None:
    assert answered(grants, peer)


@pytest.mark.parametrize(
    ("grants", "peer"),
    [
        ("read@10.20.0.7/32", "10.20.0.8"),
        ("read@10.20.0.0/16", "10.21.0.0"),
        ("read@0.0.0.0/0", "fd00::7"),
        ("read@::/0", "10.20.0.7"),
        ("read@fd00::7/128", "fd00::8"),
        ("read@::ffff:10.0.0.0/104", "11.20.0.7"),
        ("read@::ffff:10.0.0.0/104", "fd00::7"),
        ("read@::10.0.0.0/104", "10.20.0.7"),
    ],
)
def test_a_peer_of_another_network_is_not(grants: str, peer: str) -> None:
    assert not answered(grants, peer)


def test_a_grant_to_read_does_not_append() -> None:
    assert not answered("read@10.0.0.0/8", "10.1.1.1", "POST")


def test_a_grant_to_append_does_not_read() -> None:
    assert answered("append@10.0.0.0/8", "10.1.1.1", "POST")
    for path in ("/events", "/events/1", "/stream", "/verify", "/stats", "/metrics", "/schema"):
        assert not answered("append@10.0.0.0/8", "10.1.1.1", "GET", path)


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz"])
@pytest.mark.parametrize("right", ["append", "read"])
def test_any_grant_reads_whether_the_daemon_is_there(right: str, path: str) -> None:
    assert answered(f"{right}@10.0.0.0/8", "10.1.1.1", "GET", path)


def test_any_grant_may_ask_what_a_page_may_do() -> None:
    assert answered("append@10.0.0.0/8", "10.1.1.1", "OPTIONS")


def test_both_grants_do_both() -> None:
    grants = "append@10.0.0.0/8,read@10.1.0.0/16"
    assert answered(grants, "10.1.1.1", "POST")
    assert answered(grants, "10.1.1.1", "GET")
    assert not answered(grants, "10.2.1.1", "GET")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD", "TRACE", "BREW"])
def test_every_other_method_needs_the_right_to_read(method: str) -> None:
    assert answered("read@10.0.0.0/8", "10.1.1.1", method)
    assert not answered("append@10.0.0.0/8", "10.1.1.1", method)


@pytest.mark.parametrize("peer", ["10.20.0.7", "::ffff:10.20.0.7", "fd00::7", "fe80::1%eth0"])
@pytest.mark.parametrize(("method", "right"), [("GET", "read"), ("POST", "append")])
def test_a_refusal_names_a_grant_that_lets_the_peer_in(peer: str, method: str, right: str) -> None:
    refusal = Access().refusal(scope(peer, method))
    assert refusal is not None
    assert peer in refusal
    grants, _, setting = refusal.partition(" can add ")[2].partition(" to ")
    assert setting == "AUDIT_STREAM_ANONYMOUS"
    assert grants.startswith(f"{right}@")
    assert answered(grants, peer, method)


@pytest.mark.parametrize("grant", ["read@::ffff:10.20.0.0/112", "read@10.20.0.0/16", "read@::ffff:0:0/96"])
def test_a_mapped_grant_is_the_ipv4_grant(grant: str) -> None:
    [parsed] = parse_grants(grant)
    assert parsed.network.version == 4
    assert answered(grant, "10.20.0.7") == answered(grant, "::ffff:10.20.0.7") is True


def test_decisions_do_not_depend_on_those_before() -> None:
    access = Access(parse_grants("read@10.0.0.0/8"))
    for number in range(10_000):  # more peers than are remembered
        assert access.refusal(scope(f"10.{number >> 8}.{number & 255}.1")) is None
        assert access.refusal(scope(f"11.{number >> 8}.{number & 255}.1")) is not None
    assert access.refusal(scope("127.0.0.1", "POST")) is None


def test_grants_are_read_with_spaces_and_empty_items() -> None:
    assert parse_grants(" append@10.20.0.0/16 ,, read@fd00::/8, ") == (
        Grant(right="append", network=ipaddress.ip_network("10.20.0.0/16")),
        Grant(right="read", network=ipaddress.ip_network("fd00::/8")),
    )


@pytest.mark.parametrize("text", ["", " ", ",", " , "])
def test_no_items_are_no_grants(text: str) -> None:
    assert parse_grants(text) == ()


@pytest.mark.parametrize(
    "item",
    [
        "10.20.0.0/16",
        "read",
        "read@",
        "@10.20.0.0/16",
        "write@10.20.0.0/16",
        "READ@10.20.0.0/16",
        "read @10.20.0.0/16",
        "read@everyone",
        "read@10.20.0.7/16",  # host bits: one peer was meant, or all of the network?
        "read@10.20.0.0/33",
        "read@10.20.0",
        "read@fd00::7::1",
        "read@example.org",
        "read=10.20.0.0/16",
        "read@::ffff:0:0/95",  # wider than all of IPv4: what beside it was meant?
        "read@::fffe:0:0/90",
        "read@::ffff:10.20.0.7/104",
        "read@fe80::1%eth0",  # a grant with a zone would never match
    ],
)
def test_a_bad_grant_is_refused_by_its_text(item: str) -> None:
    with pytest.raises(ValueError, match=r"10|read|host|fe80|ffff") as raised:
        parse_grants(f"read@192.0.2.0/24,{item}")
    assert item in str(raised.value)
