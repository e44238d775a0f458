"""A database file as a log, also one that somebody has edited: what is there is served, and nothing escapes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from audit_stream.canonical import canonical_event, hash_of
from audit_stream.client import Live, Lost, OtherHistory, RawEvent, Selection, Tailed
from audit_stream.errors import ClientError
from audit_stream.kinds import DEFAULT_KINDS
from audit_tui.model.rows import Check, check_after, read_row
from audit_tui.offline import DatabaseLog
from tests.daemon.store.rig import build, event
from tests.daemon_process import start_daemon
from tests.tui.offline_log import COUNT, EVERYTHING, build_log, minute, read


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "audit.db"
    build_log(path)
    return path


@pytest.fixture
def edited(whole: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the whole file on which statements were run."""

    def edit(*statements: str) -> Path:
        path = tmp_path / "edited.db"
        source, target = sqlite3.connect(whole), sqlite3.connect(path, isolation_level=None)
        with contextlib.closing(source), contextlib.closing(target):
            source.backup(target)
            for statement in statements:
                target.execute(statement)
        return path

    return edit


@contextlib.asynccontextmanager
async def opened(path: Path) -> AsyncIterator[DatabaseLog]:
    log = await DatabaseLog.open(path, poll_s=0.02)
    try:
        yield log
    finally:
        await log.close()


def in_log(path: Path, body: Callable[[DatabaseLog], Awaitable[None]]) -> None:
    async def run() -> None:
        async with opened(path) as log:
            await body(log)

    asyncio.run(run())


def ids(raws: Sequence[bytes]) -> list[int]:
    return [json.loads(raw)["event_id"] for raw in raws]


def test_an_id_beyond_every_number_of_the_file_is_of_no_event(whole: Path) -> None:
    async def look(log: DatabaseLog) -> None:
        for event_id in (0, -1, 2**63, 10**30):
            assert await log.event(event_id) is None
        assert len(await read(log, before_id=10**30, limit=5)) == 5
        assert await read(log, since_id=10**30) == []

    in_log(whole, look)


def test_removed_rows_leave_no_page_short(edited: Callable[..., Path]) -> None:
    async def look(log: DatabaseLog) -> None:
        assert ids(await read(log, limit=600)) == [*range(1_500, 1_600), *range(1_801, 2_301)]
        assert ids(await read(log, Selection(kinds=("other",)), since_id=1_590, limit=4)) == [
            1_591,
            1_595,
            1_599,
            1_803,
        ]
        assert (await log.stats()).count == COUNT - 201
        verdict = await log.verify()
        assert (verdict.valid, verdict.first_break_at) == (False, 1_600)

    in_log(edited("DELETE FROM events WHERE event_id BETWEEN 1600 AND 1800"), look)


def test_a_removed_row_does_not_end_a_page_early(edited: Callable[..., Path]) -> None:
    async def look(log: DatabaseLog) -> None:
        assert len(await read(log, before_id=1_250, limit=500)) == 500
        assert (await log.verify()).first_break_at == 1_200

    in_log(edited("DELETE FROM events WHERE event_id = 1200"), look)


def test_an_edited_row_is_served_as_it_is_and_the_verdict_names_it(edited: Callable[..., Path]) -> None:
    async def look(log: DatabaseLog) -> None:
        verdict = await log.verify()
        assert (verdict.valid, verdict.first_break_at) == (False, 43)
        served = await log.event(43)
        assert served is not None
        assert b"crun" in served.raw

    forged = "CAST(replace(canonical, 'cron', 'crun') AS BLOB)"
    in_log(edited(f"UPDATE events SET canonical = {forged} WHERE event_id = 43"), look)


def test_a_forged_id_far_away_does_not_send_a_search_there(edited: Callable[..., Path]) -> None:
    async def look(log: DatabaseLog) -> None:
        found = await read(log, Selection(q="payload.number:>=2297"), since_id=0)
        assert ids(found)[:3] == [2_298, 2_299, 2_300]
        assert (await log.stats()).head.event_id == 2**61
        assert (await log.verify()).valid is False

    in_log(
        edited(f"INSERT INTO events SELECT {2**61}, 1, 9, NULL, hash, canonical FROM events WHERE event_id = 2300"),
        look,
    )


@pytest.mark.parametrize(("event_id", "at"), [(-4, 1), (0, 1), (2**63 - 1, COUNT + 1)])
def test_a_row_with_an_id_that_no_event_has_gets_a_verdict(edited: Callable[..., Path], event_id: int, at: int) -> None:
    async def look(log: DatabaseLog) -> None:
        verdict = await log.verify()
        assert (verdict.valid, verdict.first_break_at) == (False, at)

    row = f"SELECT {event_id}, 1, 9, NULL, hash, canonical FROM events WHERE event_id = 2300"
    in_log(edited(f"INSERT INTO events {row}"), look)


def test_bytes_with_a_false_id_are_served_once_in_the_place_of_their_row(edited: Callable[..., Path]) -> None:
    forged = "CAST(replace(canonical, '\"event_id\":1500,', '\"event_id\":7,') AS BLOB)"

    async def look(log: DatabaseLog) -> None:
        found = ids(await read(log, since_id=1_000))
        assert found == [7 if number == 1_500 else number for number in range(1_001, COUNT + 1)]

    in_log(edited(f"UPDATE events SET canonical = {forged} WHERE event_id = 1500"), look)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET hash = CAST(x'ff00fe22' AS TEXT) WHERE event_id = 2290",
        "UPDATE events SET hash = 'ключ' WHERE event_id = 2290",
        "UPDATE events SET canonical = x'ff00fe' WHERE event_id = 2290",
        "UPDATE events SET canonical = x'' WHERE event_id = 2290",
        "UPDATE series SET source = CAST(x'ff' AS TEXT) WHERE source = 'cron'",
        "DELETE FROM series WHERE source = 'cron'",
        "DELETE FROM spans",
        "DELETE FROM head",
        "UPDATE head SET event_id = 9000000",
    ],
)
def test_a_forged_column_keeps_nobody_from_reading_the_rest(edited: Callable[..., Path], statement: str) -> None:
    async def look(log: DatabaseLog) -> None:
        assert len(await read(log, limit=300)) == 300
        assert len(await read(log, Selection(q="kind:breaker_opened"), limit=10)) == 10
        assert len(await read(log, Selection(since=minute(2_250), until=minute(2_260)), limit=50)) == 11
        assert (await log.stats()).head.event_id == COUNT
        assert (await log.verify()).valid is False

    in_log(edited(statement), look)


@pytest.mark.parametrize("hash_", ['a"b', "a\\", "a\x1bb", "ключ"])
def test_a_row_whose_hash_is_none_is_read_with_it_and_broken(edited: Callable[..., Path], hash_: str) -> None:
    async def look(log: DatabaseLog) -> None:
        served = await log.event(2_290)
        assert served is not None
        row = read_row(served, DEFAULT_KINDS)
        check_after(None, row)
        assert (row.hash, row.check, row.reason) == (hash_, Check.BROKEN, "hash mismatch at event #2290")

    in_log(edited(f"UPDATE events SET hash = '{hash_}' WHERE event_id = 2290"), look)


def test_tables_rebuilt_without_their_types_are_reported_as_what_no_daemon_writes(edited: Callable[..., Path]) -> None:
    path = edited(
        "DROP TABLE spans",
        "CREATE TABLE spans (span INTEGER PRIMARY KEY, min_ms, max_ms)",
        "INSERT INTO spans VALUES (0, 'soon', 'late'), (1, 'soon', 'late')",
    )

    async def look(log: DatabaseLog) -> None:
        with pytest.raises(ClientError, match="holds what no daemon writes"):
            await log.stats()
        assert len(await read(log, limit=10)) == 10

    in_log(path, look)


async def next_of(tail: Any, kind: type) -> Any:
    async with asyncio.timeout(20):
        while not isinstance(item := await anext(tail), kind):
            pass
    return item


@pytest.mark.parametrize(
    ("selection", "expected"), [(EVERYTHING, [1, 2, 3, 4, 5, 6]), (Selection(kinds=("other",)), [1, 3, 5])]
)
def test_a_tail_gives_what_a_daemon_beside_it_appends_in_order_and_once(
    tmp_path: Path, selection: Selection, expected: list[int]
) -> None:
    path = tmp_path / "audit.db"

    async def follow(url: str) -> None:
        async with opened(path) as log, httpx.AsyncClient() as http:
            tail = log.tail(selection, since_id=0)
            assert await anext(tail) == Live(after_id=0)
            for number in range(3):
                for kind in ("other", "request_denied"):
                    body = {"kind": kind, "source": "s", "payload": {"number": number}}
                    (await http.post(f"{url}/events", json=body)).raise_for_status()
                for event_id in (each for each in expected if (each - 1) // 2 == number):
                    served = await next_of(tail, RawEvent)
                    assert json.loads(served.raw)["event_id"] == event_id
                    assert hash_of(canonical_event(served.raw)) == json.loads(served.raw)["hash"]
            await tail.aclose()

    with start_daemon(path) as daemon:
        asyncio.run(follow(daemon.url))


def test_a_tail_says_that_the_file_was_replaced_by_a_shorter_one(edited: Callable[..., Path], tmp_path: Path) -> None:
    path = edited()
    build(tmp_path / "other.db", [event(number) for number in range(5)])

    async def follow(log: DatabaseLog) -> None:
        tail = log.tail(since_id=COUNT)
        await next_of(tail, Live)
        seen = (await log.stats()).head
        waiting = asyncio.create_task(next_of(tail, OtherHistory))
        await asyncio.sleep(0)
        (tmp_path / "other.db").replace(path)
        found = await waiting
        assert (found.seen, found.head.event_id) == (seen, 5)
        assert (await log.stats()).count == 5
        await tail.aclose()

    in_log(path, follow)


def test_a_tail_is_lost_while_the_file_is_away_and_live_again_after(
    edited: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = edited()
    monkeypatch.setattr("audit_tui.offline.database._RETRY_S", 0.02)

    async def follow(log: DatabaseLog) -> None:
        tail = log.tail(since_id=COUNT)
        assert await anext(tail) == Live(after_id=COUNT)
        path.rename(tmp_path / "away.db")
        lost: Tailed = await next_of(tail, Lost)
        assert isinstance(lost, Lost)
        assert "does not exist" in lost.reason
        (tmp_path / "away.db").rename(path)
        assert await next_of(tail, Live) == Live(after_id=COUNT)
        await tail.aclose()

    in_log(path, follow)


def test_a_verification_that_is_given_up_leaves_no_process(whole: Path) -> None:
    async def give_up(log: DatabaseLog) -> None:
        walking = asyncio.create_task(log.verify())
        await asyncio.sleep(0)
        walking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await walking
        assert (await log.verify()).valid

    in_log(whole, give_up)


def test_a_copy_that_lacks_the_log_of_its_events_is_not_verified(tmp_path: Path) -> None:
    path, bare, whole = tmp_path / "audit.db", tmp_path / "bare.db", tmp_path / "whole.db"
    with start_daemon(path) as daemon:
        httpx.post(f"{daemon.url}/events", json={"kind": "other", "source": "s"}).raise_for_status()
        shutil.copy(path, bare)
        shutil.copy(path, whole)
        shutil.copy(path.with_name("audit.db-wal"), whole.with_name("whole.db-wal"))

    async def refused(log: DatabaseLog) -> None:
        for _ in range(2):  # also once a reader has left an empty log behind
            with pytest.raises(ClientError, match=r"no bare\.db-wal beside it"):
                await log.verify()
        assert (await log.stats()).last_verdict is None

    async def verified(log: DatabaseLog) -> None:
        verdict = await log.verify()
        assert (verdict.valid, verdict.checked) == (True, 1)

    in_log(bare, refused)
    in_log(bare, refused)
    in_log(whole, verified)


def test_an_empty_file_that_needs_no_log_is_verified(edited: Callable[..., Path]) -> None:
    async def look(log: DatabaseLog) -> None:
        verdict = await log.verify()
        assert (verdict.valid, verdict.checked) == (True, 0)

    genesis = "UPDATE head SET event_id = 0, hash = printf('%.*c', 64, '0')"
    path = edited("DELETE FROM events", "DELETE FROM series", "DELETE FROM spans", genesis)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    in_log(path, look)


def test_a_copy_whose_tables_are_still_in_its_log_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bare.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    with pytest.raises(ClientError, match=r"bare\.db-wal, which belongs to it, is not beside it"):
        asyncio.run(DatabaseLog.open(path))


async def test_a_closed_log_says_so(whole: Path) -> None:
    log = await DatabaseLog.open(whole)
    await log.close()
    await log.close()
    with pytest.raises(ClientError, match="was closed"):
        await log.stats()


def test_a_database_of_something_else_is_refused(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "theirs.db")) as connection:
        connection.execute("CREATE TABLE events (event_id INTEGER PRIMARY KEY)")
    with pytest.raises(ClientError, match="not one of audit-stream"):
        asyncio.run(DatabaseLog.open(tmp_path / "theirs.db"))
