"""Reads from a large store, and whether its size can be felt."""

from collections.abc import Sequence
from statistics import median

import msgspec

from benchmarks import bodies, wrk
from benchmarks.bench import Bench, say
from benchmarks.http_client import request
from benchmarks.report import Row, Section
from benchmarks.servers import load_batches

CONNECTIONS = 8
IDS = 997  # different events by id, spread over the store
SIZE_TARGET = 0.9  # the large store may cost a tenth before it counts as more than noise


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of read; `paths` are requested in turn."""

    name: str
    paths: Sequence[str]
    ratio_target: float | None
    compare_sizes: bool = True  # False where a small store holds fewer results


def queries(events: int) -> list[Query]:
    """What is read, from a store of so many events."""
    by_kind = "/events?kind={}&limit=100"
    return [
        Query(name="`GET /events?limit=100`", paths=["/events?limit=100"], ratio_target=50),
        Query(name="`GET /events?kind=…&limit=100`", paths=[by_kind.format(bodies.COMMON_KIND)], ratio_target=500),
        Query(
            name="`GET /events?kind=…&limit=100`, a rare kind",
            paths=[by_kind.format(bodies.RARE_KIND)],
            ratio_target=500,
            compare_sizes=False,
        ),
        Query(
            name="`GET /events/{id}`",
            paths=[f"/events/{1 + index * (events - 1) // IDS}" for index in range(IDS)],
            ratio_target=1,
        ),
    ]


def measure(bench: Bench) -> Section:
    """Ours against the peer at the large size, then ours small against ours large."""
    ours_port, peer_port = bench.large("ours").port, bench.large("peer").port
    large = [_against_peer(bench, query, ours_port, peer_port) for query in queries(bench.scale.events)]
    sizes = _small_against_large(bench, ours_port)
    return Section(
        title="Reads",
        rows=[*large, *sizes],
        notes=[
            f"wrk, one thread, {CONNECTIONS} connections, {bench.scale.get_s} s a round, "
            f"{bench.scale.events:,} events.",
            f"The common kind is `{bodies.COMMON_KIND}`; the rare one is one event in {bodies.CYCLE:,}.",
            "0.1.0 must give as many results as ours.",
        ],
    )


def _against_peer(bench: Bench, query: Query, ours_port: int, peer_port: int) -> Row:
    lengths = [len(request(port, "GET", query.paths[0])) for port in (ours_port, peer_port)]
    if lengths[0] != lengths[1]:
        raise wrk.WrkError(f"{query.paths[0]}: {lengths[0]} results from ours, {lengths[1]} from the peer")
    ours, peer = _rates(bench, query, query, ours_port, peer_port)
    say(f"{query.name}: ours {median(ours):,.0f}/s, peer {median(peer):,.1f}/s")
    return Row(name=query.name, unit="requests/s", ours=ours, peer=peer, ratio_target=query.ratio_target)


def _small_against_large(bench: Bench, large_port: int) -> list[Row]:
    rows = []
    with bench.sides.ours() as server:
        load_batches(server.port, bench.scale.few_events)
        for small, large in zip(queries(bench.scale.few_events), queries(bench.scale.events), strict=True):
            if not small.compare_sizes:
                continue
            at_large, at_small = _rates(bench, large, small, large_port, server.port)
            say(f"{small.name}: {bench.scale.few_events:,} events {median(at_small):,.0f}/s")
            name = f"{small.name}, {bench.scale.events:,} events / {bench.scale.few_events:,}"
            shares = [large_rate / small_rate for large_rate, small_rate in zip(at_large, at_small, strict=True)]
            rows.append(Row(name=name, unit="share of the rate", ours=shares, min_target=SIZE_TARGET))
    return rows


def _rates(
    bench: Bench, first: Query, second: Query, first_port: int, second_port: int
) -> tuple[list[float], list[float]]:
    """Requests a second of two servers, measured in turn."""
    sides = []
    for query, port in ((first, first_port), (second, second_port)):
        file = wrk.write_requests(bench.sides.new_path(".requests"), (("GET", path, b"") for path in query.paths))
        sides.append((file, port, list[float]()))
    for _ in range(bench.scale.rounds):
        for file, port, rates in sides:
            rates.append(wrk.load(port, file, connections=CONNECTIONS, seconds=bench.scale.get_s).per_second)
    return sides[0][2], sides[1][2]
