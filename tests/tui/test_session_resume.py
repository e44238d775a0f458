"""What a session says and does between losing a daemon and having it again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest

from audit_stream.client import EVERYTHING, Client, Live, RawEvent, Selection, Tailed
from audit_stream.client.failures import LONGEST_WAIT_S, back_off_s
from audit_tui.clock import Clock
from audit_tui.model.badge import State
from audit_tui.model.connection import Connection, ConnectionState
from audit_tui.session import Session
from tests.daemon_process import DaemonProcess, start_daemon
from tests.tui.fake_log import FakeLog, make_log
from tests.tui.test_main_screen import console
from tests.tui.test_session import recomputed, running, shown_ids, state

STOPPED = Clock(now_s=lambda: 0.0, now_ms=lambda: 0)
"""So that what is left of a wait is all of it."""


# Catching up


class SlowLog(FakeLog):
    """Its tail gives no event beyond `gives_up_to` until that is more."""

    gives_up_to = 1 << 60

    def give_up_to(self, event_id: int) -> None:
        self.gives_up_to = event_id
        self._notify()

    async def tail(self, selection: Selection = EVERYTHING, *, since_id: int | None = None) -> AsyncGenerator[Tailed]:
        place = since_id or 0
        async for item in super().tail(selection, since_id=since_id):
            if isinstance(item, Live):
                place = item.after_id
            while isinstance(item, RawEvent) and place >= self.gives_up_to:
                await self._changed.wait()
            place += isinstance(item, RawEvent)
            yield item


async def test_how_many_events_are_left_is_shown_until_all_that_came_meanwhile_are_there(tmp_path: Path) -> None:
    log = SlowLog(make_log(10).raw)
    async with console(log, tmp_path) as seen:
        await seen.until(lambda: "● live" in seen.status)
        log.go_away()
        await seen.until(lambda: "retrying" in seen.status)
        log.replace(make_log(2_510).raw)
        log.give_up_to(10)
        log.come_back()
        await seen.until(lambda: "◌ catching up, 2,500 left" in seen.status)
        log.give_up_to(2_310)
        await seen.until(lambda: "◌ catching up, 200 left" in seen.status)
        log.append()  # what comes from now on is no backlog
        log.give_up_to(2_510)
        await seen.until(lambda: "● live" in seen.status)


async def test_a_log_that_is_not_ahead_is_live_at_once() -> None:
    session = Session(make_log(1_000))
    seen: list[Connection] = []
    session.on_change = lambda: seen.append(session.connection)
    async with running(session) as until:
        await until(lambda: session.connection.state is ConnectionState.LIVE)
        assert ConnectionState.CATCHING_UP not in {connection.state for connection in seen}


# Waiting


@pytest.mark.parametrize(("failures", "longest_s"), [(0, 0.25), (1, 0.5), (4, 4.0), (6, 15.0), (10_000, 15.0)])
def test_a_wait_is_between_half_and_all_of_twice_the_one_before_and_no_longer_than_the_longest(
    failures: int, longest_s: float
) -> None:
    assert back_off_s(failures, 0.0) == longest_s / 2
    assert back_off_s(failures, 0.5) == longest_s * 0.75
    assert back_off_s(failures, 1.0) == longest_s <= LONGEST_WAIT_S


async def first_wait_s(session: Session) -> float:
    async with running(session) as until:
        await until(lambda: session.connection.state is ConnectionState.RETRYING)
        return session.connection.retry_at_s


async def test_consoles_that_find_no_daemon_do_not_come_back_together() -> None:
    log = make_log(3)
    log.go_away()
    waits_s = await asyncio.gather(*(first_wait_s(Session(log, clock=STOPPED)) for _ in range(20)))
    assert len(set(waits_s)) == 20
    assert 0.125 <= min(waits_s) <= max(waits_s) <= 0.25


@pytest.mark.parametrize(("jitter", "wait_s"), [(0.0, 0.125), (0.5, 0.1875), (1.0, 0.25)])
async def test_consoles_that_lose_a_daemon_wait_by_the_jitter_of_each(jitter: float, wait_s: float) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/stream":
            raise httpx.ConnectError("gone", request=request)
        if request.url.path == "/stats":
            return httpx.Response(200, json={"count": 0})
        return httpx.Response(200, headers={"Content-Type": "application/x-ndjson"})

    async with Client("http://fake.test", transport=httpx.MockTransport(answer), jitter=lambda: jitter) as client:
        assert await first_wait_s(Session(client, clock=STOPPED)) == wait_s


# Another history


@pytest.mark.parametrize("replacement", [make_log(30).raw, recomputed(50)], ids=["shortened", "equally long"])
async def test_that_the_last_event_is_not_in_the_log_any_more_is_said_beside_the_badge(
    tmp_path: Path, replacement: list[bytes]
) -> None:
    log = make_log(50)
    async with console(log, tmp_path) as seen:
        await seen.until(lambda: "VERIFIED" in seen.app.badge_text)
        log.go_away()
        await seen.until(lambda: "retrying" in seen.status)
        log.replace(replacement)
        log.come_back()
        await seen.until(lambda: "the log no longer holds event #50: it was cut or rewritten" in seen.said)
        assert "REWRITTEN" in seen.app.badge_text
        await seen.until(lambda: seen.ids == list(range(1, len(replacement) + 1)))


async def test_nothing_is_said_when_the_last_event_is_still_there(tmp_path: Path) -> None:
    log = make_log(50)
    async with console(log, tmp_path) as seen:
        await seen.until(lambda: "VERIFIED" in seen.app.badge_text)
        log.go_away()
        await seen.until(lambda: "retrying" in seen.status)
        log.append()
        log.come_back()
        await seen.until(lambda: seen.cursor == 51)
        seen.main._slow_tick()
        assert seen.said == []
        assert "VERIFIED" in seen.app.badge_text


def post(daemon: DaemonProcess, count: int, **payload: object) -> None:
    body = [{"kind": "other", "source": "cron", "payload": {"n": number, **payload}} for number in range(count)]
    httpx.post(f"{daemon.url}/events/batch", json=body).raise_for_status()


def test_a_daemon_that_restarts_with_another_valid_history_as_long_as_the_one_before_is_rewritten(
    tmp_path: Path,
) -> None:
    async def main(first: DaemonProcess) -> None:
        async with Client(first.url) as client:
            session = Session(client)
            async with running(session) as until:
                await until(lambda: state(session) is State.VERIFIED and len(session.ring) == 20)
                first.kill()
                await until(lambda: session.connection.state is ConnectionState.RETRYING)
                with start_daemon(tmp_path / "second.db") as unseen:  # at another port
                    post(unseen, 20, forged=True)
                    assert unseen.stop() == 0
                with start_daemon(tmp_path / "second.db", "--port", str(first.port)):
                    await until(lambda: state(session) is State.REWRITTEN)
                    await until(lambda: "the log no longer holds event #20: it was cut or rewritten" in session.notices)
                    assert (await client.verify()).valid
                    await until(lambda: shown_ids(session) == list(range(1, 21)))

    with start_daemon(tmp_path / "first.db") as daemon:
        post(daemon, 20)
        asyncio.run(main(daemon))
