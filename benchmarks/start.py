"""From spawn to the first answer, with the large store on disk."""

from pathlib import Path

from benchmarks import bodies
from benchmarks.bench import Bench, say
from benchmarks.report import Row, Section
from benchmarks.servers import load_batches

TARGET_S = 0.4


def measure(bench: Bench) -> Section:
    """Start times of ours after an orderly stop and after SIGKILL, and of an empty peer."""
    database = bench.stored_database()
    _start(bench, database)  # once for the page cache
    ours, after_kill, peer = [], [], []
    for _ in range(bench.scale.starts):
        ours.append(_start(bench, database, kill=True))
        after_kill.append(_start(bench, database))
        with bench.sides.peer() as server:
            peer.append(server.start_s)
        say(f"start: ours {ours[-1]:.3f} s, after SIGKILL {after_kill[-1]:.3f} s, empty peer {peer[-1]:.3f} s")
    return Section(
        title=f"Start with {bench.scale.events:,} events on disk",
        rows=[
            Row(
                name="spawn to first 200 of GET /healthz",
                unit="s",
                ours=ours,
                peer=peer,
                higher_is_better=False,
                max_target=TARGET_S,
            ),
            Row(name="… after SIGKILL, following a batch of 10,000", unit="s", ours=after_kill, higher_is_better=False),
        ],
        notes=[
            "Warm page cache; /healthz is tried every millisecond. 0.1.0 starts with an empty store, having lost "
            "what it held, and is shown for reference."
        ],
    )


def _start(bench: Bench, database: Path, *, kill: bool = False) -> float:
    """Seconds of one start; with `kill` the daemon then takes a batch and is killed: the next has to recover."""
    with bench.sides.ours(database, kill=kill) as server:
        if kill:
            load_batches(server.port, bodies.CYCLE)
        return server.start_s
