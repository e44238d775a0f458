"""POST /events under closed-loop load: throughput and p99."""

from benchmarks import bodies, wrk
from benchmarks.bench import Bench, say
from benchmarks.report import Row, Section

RATIO_TARGETS = {64: 2.0, 16: 1.3}  # by connections

WARM_UP_S = 1  # first requests pay for imports and caches of either side; a p99 would show little else


def measure(bench: Bench) -> Section:
    """One pair of rows for each number of connections."""
    rows = [row for connections, target in RATIO_TARGETS.items() for row in _rows(bench, connections, target)]
    notes = [
        f"wrk, one thread, {len(bodies.recorded())} recorded bodies in turn, {bench.scale.post_s} s a round; "
        "every round starts both servers anew, ours on an empty database, and warms them up for "
        f"{WARM_UP_S} s. 201 from ours means: on disk.",
    ]
    return Section(title="Single events: POST /events", rows=rows, notes=notes)


def _rows(bench: Bench, connections: int, ratio_target: float) -> list[Row]:
    requests = wrk.write_requests(
        bench.sides.new_path(".requests"), (("POST", "/events", body) for body in bodies.recorded())
    )
    loads: dict[str, list[wrk.Load]] = {"ours": [], "peer": []}
    for _ in range(bench.scale.rounds):
        for side, measured in loads.items():
            with bench.fresh(side) as server:
                wrk.load(server.port, requests, connections=connections, seconds=WARM_UP_S)
                measured.append(wrk.load(server.port, requests, connections=connections, seconds=bench.scale.post_s))
            say(f"POST, {connections} connections, {side}: {measured[-1].per_second:,.0f}/s")
    return [
        Row(
            name=f"{connections} connections",
            unit="events/s",
            ours=[load.per_second for load in loads["ours"]],
            peer=[load.per_second for load in loads["peer"]],
            ratio_target=ratio_target,
        ),
        Row(
            name=f"{connections} connections, p99",
            unit="ms",
            ours=[load.p99_ms for load in loads["ours"]],
            peer=[load.p99_ms for load in loads["peer"]],
            higher_is_better=False,
            ratio_target=1,
        ),
    ]
