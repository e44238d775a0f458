"""A log for the tests of files: more than two spans of it, so that times are looked for by them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from audit_stream.client import Selection
from audit_tui.log import Log
from tests.daemon.store.rig import build, event

COUNT = 2_300
KINDS = [("request_denied", "policy"), ("request_allowed", "policy"), ("other", "cron"), ("breaker_opened", "api")]
EVERYTHING = Selection()


def minute(number: int) -> str:
    return f"2026-06-{1 + number // 1440:02d}T{number // 60 % 24:02d}:{number % 60:02d}:00+00:00"


def build_log(path: Path) -> None:
    """A daemon's database of COUNT events, one a minute."""
    made = []
    for number in range(COUNT):
        kind, source = KINDS[number % 4]
        payload = {"number": number, "text": "学生 🔐" if number % 7 == 0 else "plain"}
        made.append(event(kind=kind, source=source, payload=payload, timestamp=minute(number)))
    build(path, made)


async def read(log: Log, selection: Selection = EVERYTHING, **arguments: Any) -> list[bytes]:
    return [served.raw async for served in log.events(selection, **arguments)]
