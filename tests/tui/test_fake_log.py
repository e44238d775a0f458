"""The daemon in memory behaves as a daemon."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from audit_stream.client import Live, Lost, RawEvent, Selection
from audit_stream.errors import ClientError
from audit_stream.exports import verify_export
from audit_tui.log import Log
from tests.tui.fake_log import FakeLog, make_log, tampered


async def ids(events: AsyncGenerator[RawEvent]) -> list[int]:
    return [served.decode().event_id async for served in events]


async def test_its_chain_is_real_and_it_is_a_log() -> None:
    log: Log = make_log(20)
    assert (await log.verify()).valid
    fields = [served.decode() async for served in log.events(since_id=0)]
    assert len(list(verify_export({name: getattr(f, name) for name in f.__struct_fields__} for f in fields))) == 20


async def test_an_edited_event_breaks_the_verdict() -> None:
    log = make_log(20)
    log.raw[9] = tampered(log.raw[9], source="mallory")
    assert (await log.verify()).first_break_at == 10


async def test_pages_and_filters() -> None:
    log = make_log(30)
    assert await ids(log.events(limit=3)) == [28, 29, 30]
    assert await ids(log.events(limit=3, since_id=5)) == [6, 7, 8]
    assert await ids(log.events(limit=2, before_id=5)) == [3, 4]
    assert await ids(log.events(limit=2, before_id=5, newest_first=True)) == [4, 3]
    assert await ids(log.events(Selection(q="source:cron"), since_id=0)) == [7, 14, 21, 28]
    with pytest.raises(ClientError):
        await ids(log.events(Selection(q="nosuch:x"), since_id=0))


async def test_a_tail_gets_what_is_appended_and_survives_an_absence() -> None:
    log: FakeLog = make_log(2)
    tail = log.tail(since_id=1)
    assert await anext(tail) == Live(after_id=1)
    assert await anext(tail) == RawEvent(log.raw[1])
    assert log.append("other", "cron", {"a": 1}) == await anext(tail)
    log.go_away()
    assert isinstance(await anext(tail), Lost)
    with pytest.raises(ClientError):
        await log.stats()
    missed = log.append()
    log.come_back()
    assert isinstance(await anext(tail), Live)
    assert await anext(tail) == missed
    await tail.aclose()
