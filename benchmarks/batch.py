"""POST /events/batch from four clients, against single POSTs to the peer, which has no batches."""

from pathlib import Path

from benchmarks import bodies, wrk
from benchmarks.bench import Bench, say
from benchmarks.http_client import UnexpectedAnswerError, event_count
from benchmarks.report import Row, Section

BATCH = 1_000
CLIENTS = 4
BODIES = 8  # different batches in turn, 2 MB in all
PEER_CONNECTIONS = 64
RATE_TARGET = 80_000
RATIO_TARGET = 10


def measure(bench: Bench) -> Section:
    """Events a second, and the ratio to the peer's single-event rate."""
    batches = wrk.write_requests(
        bench.sides.new_path(".requests"),
        (("POST", "/events/batch", bodies.batch(BATCH, first=index * BATCH)) for index in range(BODIES)),
    )
    singles = wrk.write_requests(
        bench.sides.new_path(".requests"), (("POST", "/events", body) for body in bodies.recorded())
    )
    ours, peer, latency = [], [], []
    for _ in range(bench.scale.rounds):
        load = _batches(bench, batches)
        ours.append(load.per_second * BATCH)
        latency.append(load.p99_ms)
        with bench.sides.peer() as server:
            single = wrk.load(server.port, singles, connections=PEER_CONNECTIONS, seconds=bench.scale.post_s)
        peer.append(single.per_second)
        say(f"batches: {ours[-1]:,.0f} events/s, peer's single events {peer[-1]:,.0f}/s")
    name = f"batches of {BATCH:,}, {CLIENTS} clients"
    return Section(
        title="Batches: POST /events/batch",
        rows=[
            Row(name=name, unit="events/s", ours=ours, min_target=RATE_TARGET),
            Row(
                name="… against single events to 0.1.0",
                unit="events/s",
                ours=ours,
                peer=peer,
                ratio_target=RATIO_TARGET,
            ),
            Row(name=f"{name}, p99 of a batch", unit="ms", ours=latency, higher_is_better=False),
        ],
        notes=[
            f"wrk, {CLIENTS} threads with one connection each, JSON arrays built before the clock starts; "
            f"0.1.0 has no batches, so its figure is single events at {PEER_CONNECTIONS} connections.",
            "After each round GET /stats must count every acknowledged event.",
        ],
    )


def _batches(bench: Bench, requests: Path) -> wrk.Load:
    with bench.sides.ours() as server:
        load = wrk.load(server.port, requests, connections=CLIENTS, threads=CLIENTS, seconds=bench.scale.post_s)
        stored = event_count(server.port)
    if stored < load.requests * BATCH:
        raise UnexpectedAnswerError(f"{load.requests * BATCH} events acknowledged, {stored} counted")
    return load
