"""What each side takes in memory once it holds the large store."""

from benchmarks.bench import Bench
from benchmarks.report import Row, Section

TARGET_MB = 150


def measure(bench: Bench) -> Section:
    """RSS, PSS and the peak of each side's main process."""
    ours, peer = bench.large("ours").memory, bench.large("peer").memory
    return Section(
        title=f"Memory with {bench.scale.events:,} events",
        rows=[
            Row(
                name="RSS",
                unit="MB",
                ours=[ours.rss_mb],
                peer=[peer.rss_mb],
                higher_is_better=False,
                max_target=TARGET_MB,
            ),
            Row(name="PSS", unit="MB", ours=[ours.pss_mb], peer=[peer.pss_mb], higher_is_better=False),
            Row(name="highest RSS so far", unit="MB", ours=[ours.peak_mb], peer=[peer.peak_mb], higher_is_better=False),
        ],
        notes=[
            "Main process, from /proc, as soon as the store is loaded. Ours was loaded over HTTP in batches of 10,000. "
            "0.1.0 was filled in its own process before serving, by its own `AuditStore.append` with the requests that "
            "its handler would pass (`peer_launcher.py`): through its POST that takes many minutes.",
        ],
    )
