"""What the published Prometheus bridge of audit-stream relies on.

The bridge itself is not on the package index, so `Bridge` behaves as it does on the wire: one GET with the headers of
httpx-sse, no look at the status, no `Last-Event-ID` ever; at once again after a clean end of the stream, after a pause
that doubles otherwise. It counts whatever JSON object arrives by its kind and source and skips what is not JSON.
"""

import asyncio
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest
from httpx_sse import SSEError, aconnect_sse

from tests.daemon_process import DaemonProcess, start_daemon

pytestmark = pytest.mark.anyio

DEADLINE_S = 30.0
FIRST_PAUSE_S = 0.1  # 0.5 in the original, which is in less of a hurry


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "audit.db"


class Bridge:
    """Counts the events of one daemon; `up`, `connections` and `refusals` are what its log and its gauge tell."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/events/stream"
        self._changed = asyncio.Condition()
        self.up = False
        self.connections = 0
        self.refusals = 0
        self.counted: Counter[tuple[str, str]] = Counter()

    async def run(self) -> None:
        pause_s = FIRST_PAUSE_S
        async with httpx.AsyncClient(timeout=None, trust_env=False) as client:
            while True:
                try:
                    await self._consume(client)
                    pause_s = FIRST_PAUSE_S
                except (httpx.TransportError, SSEError):
                    self.up = False
                    self.refusals += 1
                    await self._note()
                    await asyncio.sleep(pause_s)
                    pause_s *= 2

    async def until(self, condition: Callable[["Bridge"], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S), self._changed:
            await self._changed.wait_for(lambda: condition(self))

    async def _consume(self, client: httpx.AsyncClient) -> None:
        async with aconnect_sse(client, "GET", self._url) as source:
            self.up = True
            self.connections += 1
            await self._note()
            async for message in source.aiter_sse():
                self._count(message.data)
                await self._note()

    def _count(self, data: str) -> None:
        try:
            event = json.loads(data)
        except json.JSONDecodeError:
            return  # httpx-sse gives an empty message for a block of an id alone and, after an id, for a heartbeat
        self.counted[event["kind"], event["source"]] += 1

    async def _note(self) -> None:
        async with self._changed:
            self._changed.notify_all()


@asynccontextmanager
async def bridge_to(daemon: DaemonProcess) -> AsyncIterator[Bridge]:
    """A bridge that is connected."""
    bridge = Bridge(daemon.url)
    task = asyncio.create_task(bridge.run())
    try:
        await bridge.until(lambda bridge: bridge.up)
        yield bridge
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task  # raises what the bridge fell over, if it did


async def append(daemon: DaemonProcess, *events: tuple[str, str]) -> None:
    async with httpx.AsyncClient(base_url=daemon.url, trust_env=False) as client:
        for kind, source in events:
            answer = await client.post("/events", json={"kind": kind, "source": source})
            answer.raise_for_status()


async def all_counted(daemon: DaemonProcess, bridge: Bridge) -> dict[tuple[str, str], int]:
    """The counters, once an event appended now has been counted, and so all before it."""
    mark = ("other", "the-end-of-a-test")
    await append(daemon, mark)
    await bridge.until(lambda bridge: bridge.counted[mark] > 0)
    return {labels: count for labels, count in bridge.counted.items() if labels != mark}


async def test_the_bridge_is_up_before_the_first_event(database: Path) -> None:
    """Its gauge goes up with the answer's headers: an alert would fire on a daemon that kept them until it had data."""
    with start_daemon(database) as daemon:
        async with bridge_to(daemon) as bridge:
            assert bridge.refusals == 0


async def test_the_bridge_counts_each_new_event_once_by_kind_and_source(database: Path) -> None:
    denied, opened = ("request_denied", "policy-as-code-engine"), ("breaker_opened", "reliability-toolkit")
    with start_daemon(database) as daemon:
        async with bridge_to(daemon) as bridge:
            await append(daemon, denied, opened, denied)

            assert await all_counted(daemon, bridge) == {denied: 2, opened: 1}


async def test_the_bridge_does_not_count_what_was_there_before_it(database: Path) -> None:
    """It never says where it stopped: with a backlog, each of its restarts would count the whole log again."""
    before, after = ("request_denied", "before"), ("request_denied", "after")
    with start_daemon(database) as daemon:
        await append(daemon, before, before)
        async with bridge_to(daemon) as bridge:
            await append(daemon, after)

            assert await all_counted(daemon, bridge) == {after: 1}


async def test_the_bridge_goes_on_after_a_crash_of_the_daemon(database: Path) -> None:
    before, after = ("request_denied", "before"), ("request_denied", "after")
    with start_daemon(database) as daemon:
        async with bridge_to(daemon) as bridge:
            await append(daemon, before)
            await bridge.until(lambda bridge: bridge.counted[before] == 1)
            daemon.process.send_signal(signal.SIGKILL)
            await bridge.until(lambda bridge: not bridge.up)

            with start_daemon(database, "--port", str(daemon.port)) as again:
                await bridge.until(lambda bridge: bridge.up)
                await append(again, after)

                assert await all_counted(again, bridge) == {before: 1, after: 1}


async def test_a_daemon_that_stops_does_not_make_the_bridge_spin(database: Path) -> None:
    """After a clean end it comes back without a pause: to let it in again, only to end again, would be a busy loop."""
    with start_daemon(database) as daemon:
        async with bridge_to(daemon) as bridge:
            daemon.process.terminate()
            await bridge.until(lambda bridge: not bridge.up)

            assert bridge.connections == 1
