"""`audit-stream stats`: what the log holds."""

from __future__ import annotations

from audit_daemon.cli.options import Json, Url, known_kinds
from audit_daemon.cli.terminal import bold, write, write_line
from audit_stream.chain import Verdict
from audit_stream.client import DEFAULT_URL, Client, Stats
from audit_stream.display import safe
from audit_stream.kinds import KindRegistry

__all__ = ["stats"]


async def stats(*, url: Url = DEFAULT_URL, json: Json = False) -> int:
    """Show how many events the log holds, of which kinds and from whom, and how fast they come.

    ```
    audit-stream stats
    audit-stream stats --json | jq .by_kind
    ```
    """
    async with Client(url) as client:
        if json:
            write(await client.get("/stats") + b"\n")
        else:
            for line in _table(await client.stats(), known_kinds()):
                write_line(line)
    return 0


def _table(found: Stats, kinds: KindRegistry) -> list[str]:
    rows = [
        ("events", f"{found.count:,}"),
        ("head", f"#{found.head.event_id} {safe(found.head.hash)}" if found.count else "the log is empty"),
        ("verdict", _verdict(found.last_verdict)),
        ("rates", ", ".join(f"{rate:g}/s over {safe(span)}" for span, rate in found.rates_per_second.items())),
        ("subscribers", f"{found.subscribers:,}"),
        ("database", _size(found.database_bytes)),
    ]
    lines = [f"{bold(f'{name:<12}')} {value}" for name, value in rows if value]
    by_kind = {f"{kind} ({kinds.severity(kind).label})": count for kind, count in found.by_kind.items()}
    for title, counts in (("by kind", by_kind), ("by source", found.by_source)):
        width = max((len(f"{count:,}") for count in counts.values()), default=0)
        lines += ["", bold(title)] if counts else []
        lines += [f"  {count:>{width},}  {safe(name)}" for name, count in counts.items()]
    if found.events_of_other_sources:
        lines.append(f"  {found.events_of_other_sources:,} of {found.sources - len(found.by_source):,} other sources")
    return lines


def _verdict(verdict: Verdict | None) -> str:
    if verdict is None:
        return "not verified since the daemon started"
    if verdict.valid:
        return f"intact, {verdict.checked:,} events at {safe(verdict.verified_at)}"
    return bold(f"BROKEN at #{verdict.first_break_at}: {safe(verdict.reason or '')}", "1;31")


def _size(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
