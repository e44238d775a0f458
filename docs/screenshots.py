"""The pictures of the console in README.md and docs/: from the running app, so that they are never out of date.

    python docs/screenshots.py          (or `make screenshots`)

A real daemon on a temporary file, the samples of `audit-stream demo` as its history, the demo's producers while the
first picture is taken, and one edited row for the red badge.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sqlite3
import sys
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]  # the daemon as a process is part of the tests

IMAGES = ROOT / "docs" / "images"
SIZE = (130, 32)
LIVE_SIZE = (120, 26)
"""Smaller, because README shows it at the width of a page: kinds and sources are whole, and can be read."""
LIVE_S = 30.0
"""A screen full of events at the pace of the demo's producers, and rates that have settled."""
DEADLINE_S = 30.0
EVENTS = 800
GAP = timedelta(seconds=7)
"""Between two events of the history."""


def main() -> None:
    """Make them all."""
    from tests.daemon_process import start_daemon

    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        database = Path(directory) / "audit.db"
        os.environ["AUDIT_TUI_STATE"] = str(Path(directory) / "state")
        with start_daemon(database) as daemon:
            _fill(daemon.url)
            asyncio.run(_take(daemon.url, database))


def _fill(url: str) -> None:
    samples = (ROOT / "daemon/audit_daemon/cli/demo/events.jsonl").read_bytes().splitlines()
    begin = datetime.now(UTC) - EVENTS * GAP
    events = (
        json.loads(samples[number % len(samples)])
        | {"timestamp": (begin + number * GAP).isoformat(timespec="milliseconds")}
        for number in range(EVENTS)
    )
    body = "\n".join(json.dumps(event) for event in events)
    answer = httpx.post(f"{url}/events/batch", content=body, headers={"Content-Type": "application/x-ndjson"})
    answer.raise_for_status()


async def _take(url: str, database: Path) -> None:
    from audit_daemon.cli.demo.producers import Producers
    from audit_stream.client import Client

    async with Client(url) as client, Producers(client, seed=4).posting():
        await _picture(url, "live", (), size=LIVE_SIZE, after_s=LIVE_S)
    await _picture(url, "filter", ("p", "up", "up", "up", "i"))
    await _picture(url, "detail", ("up", "enter"))
    _edit(database)
    await _picture(url, "integrity", ("v", "b"), wait_for="BROKEN")


def _edit(database: Path) -> None:
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(
            "UPDATE events SET canonical = CAST(replace(canonical, 'deny', 'allow') AS BLOB)"
            " WHERE event_id = (SELECT max(event_id) FROM events WHERE instr(canonical, 'deny') > 0)"
        )


async def _picture(
    url: str,
    name: str,
    keys: tuple[str, ...],
    *,
    wait_for: str = "VERIFIED",
    size: tuple[int, int] = SIZE,
    after_s: float = 0.0,
) -> None:
    from audit_stream.client import Client
    from audit_tui.app import ConsoleApp, Opening
    from audit_tui.log import Log
    from audit_tui.storage.config import Config
    from audit_tui.user_data import UserData

    async def open_log(address: str) -> Log:
        return Client(address)

    user_data = UserData(Config(), Path(os.environ["AUDIT_TUI_STATE"]))
    app = ConsoleApp(Opening(url=url, open_log=open_log), user_data)
    async with app.run_test(size=size) as pilot:
        await pilot.pause(after_s)
        await _until(lambda: "VERIFIED" in app.badge_text or "BROKEN" in app.badge_text, pilot.pause)
        for key in keys:
            await pilot.press(key)
            await pilot.pause()
        await _until(lambda: wait_for in app.badge_text, pilot.pause)
        for _ in range(15):  # a second and a half: whatever loads is there, and the panel is drawn
            await pilot.pause(0.1)
        svg = app.export_screenshot(title=f"audit-tui {url.replace(url.rpartition(':')[2], '8093')}")
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # no font is fetched from elsewhere
    svg = svg.replace("Fira Code", "monospace").replace(url.rpartition(":")[2], "8093")
    (IMAGES / f"console-{name}.svg").write_text(svg)
    print(f"docs/images/console-{name}.svg")  # noqa: T201 - what a script made


async def _until(condition: Callable[[], bool], pause: Callable[[float], Awaitable[None]]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await pause(0.05)


if __name__ == "__main__":
    main()
