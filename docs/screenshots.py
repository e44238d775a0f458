"""The pictures of the console in README.md and docs/: from the running app, so that they are never out of date.

    python docs/screenshots.py          (or `make screenshots`)

A real daemon on a temporary file, the samples of `audit-stream demo`, and one edited row for the red badge.
"""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]  # the daemon as a process is part of the tests

IMAGES = ROOT / "docs" / "images"
SIZE = (130, 32)
DEADLINE_S = 30.0
EVENTS = 800


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
    body = b"\n".join(samples[number % len(samples)] for number in range(EVENTS))
    answer = httpx.post(f"{url}/events/batch", content=body, headers={"Content-Type": "application/x-ndjson"})
    answer.raise_for_status()


async def _take(url: str, database: Path) -> None:
    await _picture(url, "live", ("p",))
    await _picture(url, "filter", ("up", "up", "up", "i"))
    await _picture(url, "detail", ("up", "enter"))
    _edit(database)
    await _picture(url, "integrity", ("v", "b"), wait_for="BROKEN")


def _edit(database: Path) -> None:
    connection = sqlite3.connect(database)
    with connection:
        connection.execute(
            "UPDATE events SET canonical = CAST(replace(canonical, 'deny', 'allow') AS BLOB)"
            " WHERE event_id = (SELECT max(event_id) FROM events WHERE instr(canonical, 'deny') > 0)"
        )
    connection.close()


async def _picture(url: str, name: str, keys: tuple[str, ...], *, wait_for: str = "VERIFIED") -> None:
    from audit_stream.client import Client
    from audit_tui.app import ConsoleApp, Opening
    from audit_tui.log import Log
    from audit_tui.storage.config import Config
    from audit_tui.user_data import UserData

    async def open_log(address: str) -> Log:
        return Client(address)

    user_data = UserData(Config(), Path(os.environ["AUDIT_TUI_STATE"]))
    app = ConsoleApp(Opening(url=url, open_log=open_log), user_data)
    async with app.run_test(size=SIZE) as pilot:
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
