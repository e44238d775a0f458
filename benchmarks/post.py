"""POST /events under closed-loop load: throughput and waits of many producers, and of one at a time."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import bodies, machine, wrk
from benchmarks.bench import Bench, say
from benchmarks.report import Row, Section

RATIO_TARGETS = {64: 2.0, 16: 1.3}  # by connections

WARM_UP_S = 1  # first requests pay for imports and caches of either side; a p99 would show little else

BUSY = "while True: pass"
"""A process that takes all of a core that it can get: a machine that does other work as well."""


def measure(bench: Bench) -> Section:
    """Rows for each number of connections, then for one, on a machine of its own and on a busy one."""
    requests = wrk.write_requests(
        bench.sides.new_path(".requests"), (("POST", "/events", body) for body in bodies.recorded())
    )
    rows = [row for connections, target in RATIO_TARGETS.items() for row in _many(bench, requests, connections, target)]
    rows += _one(bench, requests, "1 connection")
    with _busy_cores():
        rows += _one(bench, requests, "1 connection, all cores busy")
        syncs_ms = [machine.fsync_ms(bench.sides.work)[1] for _ in range(bench.scale.rounds)]
        rows.append(Row(name="a bare fdatasync of 4 KiB, all cores busy, p99", unit="ms", ours=syncs_ms))
    notes = [
        f"wrk, one thread, {len(bodies.recorded())} recorded bodies in turn, {bench.scale.post_s} s a round; "
        "every round starts both servers anew, ours on an empty database, and warms them up for "
        f"{WARM_UP_S} s. 201 from ours means: on disk.",
        "One connection sends the next event when the last is answered, so that each waits for an fsync of its own. "
        f"All cores busy: beside {_cores()} endless loops, one for each core.",
    ]
    return Section(title="Single events: POST /events", rows=rows, notes=notes)


def _many(bench: Bench, requests: Path, connections: int, ratio_target: float) -> list[Row]:
    name = f"{connections} connections"
    loads = _loads(bench, requests, connections, name)
    return [
        Row(
            name=name,
            unit="events/s",
            ours=[load.per_second for load in loads["ours"]],
            peer=[load.per_second for load in loads["peer"]],
            ratio_target=ratio_target,
        ),
        _wait(f"{name}, p99", [load.p99_ms for load in loads["ours"]], [load.p99_ms for load in loads["peer"]], 1),
    ]


def _one(bench: Bench, requests: Path, name: str) -> list[Row]:
    loads = _loads(bench, requests, 1, name)
    ours, peer = loads["ours"], loads["peer"]
    return [
        _wait(f"{name}, median", [load.p50_ms for load in ours], [load.p50_ms for load in peer]),
        _wait(f"{name}, p99", [load.p99_ms for load in ours], [load.p99_ms for load in peer]),
    ]


def _loads(bench: Bench, requests: Path, connections: int, name: str) -> dict[str, list[wrk.Load]]:
    loads: dict[str, list[wrk.Load]] = {"ours": [], "peer": []}
    for _ in range(bench.scale.rounds):
        for side, measured in loads.items():
            with bench.fresh(side) as server:
                wrk.load(server.port, requests, connections=connections, seconds=WARM_UP_S)
                load = wrk.load(server.port, requests, connections=connections, seconds=bench.scale.post_s)
            measured.append(load)
            say(f"POST, {name}, {side}: {load.per_second:,.0f}/s, p50 {load.p50_ms:.2f} ms, p99 {load.p99_ms:.2f} ms")
    return loads


def _wait(name: str, ours: list[float], peer: list[float], ratio_target: float | None = None) -> Row:
    return Row(name=name, unit="ms", ours=ours, peer=peer, higher_is_better=False, ratio_target=ratio_target)


@contextmanager
def _busy_cores() -> Iterator[None]:
    loops = [subprocess.Popen([sys.executable, "-I", "-c", BUSY]) for _ in range(_cores())]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def _cores() -> int:
    return len(os.sched_getaffinity(0))
