"""What a program reads may be left at any event: no traceback, no warning, no connection that stays open."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from tests.daemon.command_line import DEADLINE_S, environment
from tests.daemon_process import DaemonProcess, start_daemon

PROGRAM = """
import asyncio, contextlib, gc, sys
from audit_stream.client import Client, Live, RawEvent

url = sys.argv[1]

READS = [
    lambda client: client.events(since_id=0),
    lambda client: client.events(newest_first=True),
    lambda client: client.lines(since_id=0),
    lambda client: client.tail(since_id=0),
]

async def leave(client, read):
    async for item in read(client):
        if not isinstance(item, Live):
            break

async def main():
    async with Client(url) as client:
{body}
    print("done")

{run}
"""
BODIES = {
    "break": "for read in READS: await leave(client, read)",
    "more often than there are connections": "for _ in range(110): await leave(client, READS[0])",
    "break, then go on": "for read in READS: await leave(client, read); await client.stats()",
    "an exception": """
        for read in READS:
            with contextlib.suppress(KeyError):
                async for item in read(client): raise KeyError
""",
    "cancelled": """
        for read in READS:
            task = asyncio.create_task(leave(client, lambda client: client.tail()))
            await asyncio.sleep(0.01)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError): await task
""",
    "still held": "held = [read(client) for read in READS]; [await anext(each) for each in held]",
    "never begun": "held = [read(client) for read in READS]; del held",
    "in a cycle": """
        for read in READS:
            items = [read(client)]; items.append(items); await anext(items[0]); del items
        gc.collect()
""",
    "closed by hand": """
        for read in READS:
            async with contextlib.aclosing(read(client)) as items:
                async for item in items: break
            items = read(client); await anext(items); await items.aclose(); await items.aclose()
""",
    "another task waits": """
        async def wait():
            async for item in client.tail(): pass
        task = asyncio.create_task(wait())
        await client.stats(); await asyncio.sleep(0.05)
        await client.close()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError): await task
""",
}
RUNS = {
    "asyncio": "asyncio.run(main())",
    "uvloop": "import uvloop; uvloop.run(main())",
}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    with start_daemon(tmp_path_factory.mktemp("left") / "audit.db") as running:
        events = [{"kind": "other", "source": "s", "payload": {"text": "x" * 1000}} for _ in range(1_000)]
        httpx.post(f"{running.url}/events/batch", json=events, timeout=20).raise_for_status()
        yield running


@pytest.mark.parametrize("body", BODIES)
def test_a_program_that_leaves_what_it_reads_hears_nothing_of_it(daemon: DaemonProcess, body: str) -> None:
    for each in RUNS.values() if body == "still held" else [RUNS["asyncio"]]:
        text = BODIES[body]
        indented = text if text.startswith("\n") else f"        {text}"
        program = PROGRAM.format(body=indented, run=each)
        done = subprocess.run(
            [sys.executable, "-X", "dev", "-W", "error", "-c", program, daemon.url],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            env=environment(),
            check=False,
        )
        said = [line for line in done.stderr.splitlines() if not line.startswith("Executing <")]  # of a busy machine
        assert (done.returncode, done.stdout, said) == (0, "done\n", [])


def test_a_stream_that_was_left_is_no_subscriber_any_more(daemon: DaemonProcess) -> None:
    body = """
        for _ in range(5): await leave(client, READS[3])
        while (await client.stats()).subscribers: await asyncio.sleep(0.01)
"""
    program = PROGRAM.format(body=body, run=RUNS["asyncio"])
    done = subprocess.run(
        [sys.executable, "-c", program, daemon.url],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        env=environment(),
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
