"""Who is answered: the one place that decides it.

Loopback always is. A daemon that listens elsewhere answers other peers only where `AUDIT_STREAM_ANONYMOUS` grants
them a right, as Redis does in protected mode. Tokens with roles will join `Access.refusal`; until then an
`Authorization` header is accepted and ignored, because published producers send one or emit nothing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, Literal

import msgspec

__all__ = ["ANONYMOUS_SETTING", "Access", "Grant", "parse_grants"]

ANONYMOUS_SETTING = "AUDIT_STREAM_ANONYMOUS"

Right = Literal["append", "read"]
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_ALL = frozenset({"append", "read"})

_FOR_ANY_GRANT = frozenset({"/", "/healthz", "/readyz"})
"""What a producer that may only append can read: whether the daemon is there."""

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
"""How IPv6 writes IPv4 addresses (RFC 4291, 2.5.5.2), as a peer's does on a socket that listens for both."""

_MAX_REMEMBERED = 4096
"""Peers whose rights are remembered, so that looking them up costs a request nothing."""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """A right that every peer of a network has."""

    right: Right
    network: ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_grants(text: str) -> tuple[Grant, ...]:
    """Grants from `append@10.20.0.0/16,read@10.20.0.7/32`. Raises ValueError, which names the item."""
    grants = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        right, separator, network = item.partition("@")
        if not separator or right not in ("append", "read"):
            raise ValueError(f"{item!r} is no grant: use append@NETWORK or read@NETWORK, such as read@10.20.0.7/32")
        try:
            grants.append(Grant(right=right, network=_network_of(network)))  # type: ignore[arg-type]  # checked above
        except ValueError as error:
            raise ValueError(f"{item!r}: {error}") from None
    return tuple(grants)


def _network_of(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """A network as peers' addresses are compared with it. Raises ValueError for one that would not match as written."""
    network = ipaddress.ip_network(text)
    if isinstance(network, ipaddress.IPv4Network):
        return network
    if network.network_address.scope_id is not None:
        raise ValueError("leave out the zone: a grant holds on every link")
    mapped = network.network_address.ipv4_mapped
    if mapped is not None and network.prefixlen >= _MAPPED.prefixlen:
        return ipaddress.ip_network((mapped, network.prefixlen - _MAPPED.prefixlen))
    if network.supernet_of(_MAPPED) and network.prefixlen:
        raise ValueError(f"this IPv6 network holds all of IPv4, which is granted as 0.0.0.0/0; use {_MAPPED} or longer")
    return network


class Access:
    """Decides who may do what. Pure but for a memory of earlier decisions."""

    def __init__(self, grants: Sequence[Grant] = ()) -> None:
        self._rights_of = lru_cache(_MAX_REMEMBERED)(partial(_rights, tuple(grants)))

    def refusal(self, scope: Mapping[str, Any]) -> str | None:
        """Why a request (its ASGI scope) is not answered; None when it is."""
        client = scope.get("client")
        if client is None:  # the peer was gone before its address was asked for: nobody knows who it was
            return "this connection has no address any more"
        peer: str = client[0]
        rights = self._rights_of(peer)
        wanted: Right = "append" if scope["method"] == "POST" else "read"
        if wanted in rights or (rights and (scope["path"] in _FOR_ANY_GRANT or scope["method"] == "OPTIONS")):
            return None
        address = _address_of(peer)
        grant = f"{wanted}@{peer if address is None else ipaddress.ip_network(address)}"
        return f"this daemon does not answer {peer}: its operator can add {grant} to {ANONYMOUS_SETTING}"


def _rights(grants: Sequence[Grant], peer: str) -> frozenset[str]:
    address = _address_of(peer)
    if address is None:
        return frozenset()
    if address.is_loopback:
        return _ALL
    return frozenset(grant.right for grant in grants if address in grant.network)


def _address_of(peer: str) -> _Address | None:
    """A peer's address as grants name it: no zone, and IPv4 where IPv6 only carries it. None for what is none."""
    try:
        address: _Address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
