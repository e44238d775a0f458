"""Files as logs: the same answers as a daemon gives over HTTP, and the same verdicts."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from audit_stream.client import Client, Live, Selection, Served
from audit_stream.errors import ClientError
from audit_tui.log import Log
from audit_tui.offline import DatabaseLog, ExportLog
from tests.daemon_process import start_daemon

VARIED = [
    {"kind": "request_denied", "source": "policy-as-code-engine", "payload": {"n": 1, "rule": "dpa"}},
    {"kind": "request_allowed", "source": "policy-as-code-engine", "payload": {"n": 2}},
    {"kind": "other", "source": "cron", "payload": {"text": "学生 🔐"}},
    {"kind": "breaker_opened", "source": "reliability-toolkit", "payload": {}},
]
COUNT = 1300

SELECTIONS: list[tuple[Selection, dict[str, Any]]] = [
    (Selection(), {"limit": 10}),
    (Selection(), {}),
    (Selection(), {"since_id": 0}),
    (Selection(), {"since_id": 1290}),
    (Selection(), {"before_id": 20, "limit": 7}),
    (Selection(), {"before_id": 700, "limit": 600}),
    (Selection(), {"newest_first": True, "limit": 5}),
    (Selection(), {"newest_first": True, "before_id": 30}),
    (Selection(q="kind:request_denied"), {"since_id": 0}),
    (Selection(q="severity:>=warning payload.n:>0"), {"limit": 9}),
    (Selection(q="学生"), {"since_id": 100, "limit": 8}),
    (Selection(kinds=("other",), sources=("cron",)), {"before_id": 100, "limit": 4}),
    (Selection(q="kind:no_such"), {"since_id": 0}),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path, Path]]:
    """A daemon's address, its database, and an export of it."""
    directory = tmp_path_factory.mktemp("offline")
    database, export = directory / "audit.db", directory / "export.jsonl"
    with start_daemon(database) as daemon:
        for start in range(0, COUNT, 500):
            body = [VARIED[number % 4] for number in range(start, min(COUNT, start + 500))]
            httpx.post(f"{daemon.url}/events/batch", json=body).raise_for_status()
        answer = httpx.get(f"{daemon.url}/events?since_id=0&limit=100000", headers={"Accept": "application/x-ndjson"})
        export.write_bytes(answer.content)
        yield daemon.url, database, export


def with_log(opened: Callable[[], Awaitable[Any]], use: Callable[[Any], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        log = await opened()
        try:
            return await use(log)
        finally:
            await log.close()

    return asyncio.run(main())


async def listed(log: Log, selection: Selection, arguments: dict[str, Any]) -> list[bytes]:
    return [served.raw async for served in log.events(selection, **arguments)]


@pytest.mark.parametrize("number", range(len(SELECTIONS)))
@pytest.mark.parametrize("kind", ["database", "export"])
def test_a_file_answers_as_the_daemon_does(files: tuple[str, Path, Path], number: int, kind: str) -> None:
    url, database, export = files
    selection, arguments = SELECTIONS[number]

    async def client() -> Log:
        return Client(url)

    async def file() -> Log:
        return await (DatabaseLog.open(database) if kind == "database" else ExportLog.open(export))

    expected = with_log(client, lambda log: listed(log, selection, arguments))
    assert with_log(file, lambda log: listed(log, selection, arguments)) == expected


@pytest.mark.parametrize("kind", ["database", "export"])
def test_a_file_has_the_daemon_s_counts_and_verdict(files: tuple[str, Path, Path], kind: str) -> None:
    url, database, export = files

    async def client() -> Log:
        return Client(url)

    async def file() -> Log:
        return await (DatabaseLog.open(database) if kind == "database" else ExportLog.open(export))

    async def facts(log: Log) -> tuple[Any, ...]:
        stats, verdict = await log.stats(), await log.verify()
        event = await log.event(42)
        assert event is not None
        assert await log.event(COUNT + 1) is None
        return stats.head, stats.by_kind, stats.by_source, verdict.valid, verdict.checked, verdict.head, event.raw

    assert with_log(file, facts) == with_log(client, facts)


def edited(files: tuple[str, Path, Path], tmp_path: Path, statement: str) -> Path:
    source, copy = sqlite3.connect(files[1]), tmp_path / "copy.db"
    target = sqlite3.connect(copy)
    source.backup(target)
    with target:
        target.execute(statement)
    target.close()
    source.close()
    return copy


def test_an_edited_row_is_served_as_it_is_and_the_verdict_names_it(
    files: tuple[str, Path, Path], tmp_path: Path
) -> None:
    copy = edited(
        files,
        tmp_path,
        "UPDATE events SET canonical = CAST(replace(canonical, 'cron', 'crun') AS BLOB) WHERE event_id = 43",
    )

    async def facts(log: Log) -> None:
        verdict = await log.verify()
        assert (verdict.valid, verdict.first_break_at) == (False, 43)
        event = await log.event(43)
        assert event is not None
        assert b"crun" in event.raw

    with_log(lambda: DatabaseLog.open(copy), facts)


def test_a_removed_row_does_not_end_a_page_early(files: tuple[str, Path, Path], tmp_path: Path) -> None:
    copy = edited(files, tmp_path, "DELETE FROM events WHERE event_id = 1200")

    async def facts(log: Log) -> None:
        page = await listed(log, Selection(), {"limit": 500})
        assert len(page) == 500
        assert (await log.verify()).first_break_at == 1200

    with_log(lambda: DatabaseLog.open(copy), facts)


def test_a_tail_of_a_database_sees_what_a_daemon_beside_it_appends(tmp_path: Path) -> None:
    async def main(url: str) -> None:
        log = await DatabaseLog.open(tmp_path / "audit.db")
        tail = log.tail(since_id=0)
        assert isinstance(await anext(tail), Live)
        async with httpx.AsyncClient() as client:
            await client.post(f"{url}/events", json=VARIED[0])
        served = await asyncio.wait_for(anext(tail), 20)
        assert isinstance(served, Served)
        await tail.aclose()
        await log.close()

    with start_daemon(tmp_path / "audit.db") as daemon:
        asyncio.run(main(daemon.url))


def test_a_changed_line_of_an_export_is_found(files: tuple[str, Path, Path], tmp_path: Path) -> None:
    lines = files[2].read_bytes().splitlines(keepends=True)
    lines[41] = lines[41].replace(b"policy-as-code", b"pXlicy-as-code").replace(b'"cron"', b'"crun"')
    assert lines[41] != files[2].read_bytes().splitlines(keepends=True)[41]
    export = tmp_path / "export.jsonl"
    export.write_bytes(b"".join(lines))

    async def facts(log: Log) -> None:
        verdict = await log.verify()
        assert (verdict.valid, verdict.first_break_at) == (False, 42)

    with_log(lambda: ExportLog.open(export), facts)


def test_a_part_of_an_export_is_checked_from_its_first_event(files: tuple[str, Path, Path], tmp_path: Path) -> None:
    export = tmp_path / "part.jsonl"
    export.write_bytes(b"".join(files[2].read_bytes().splitlines(keepends=True)[100:200]))

    async def facts(log: Log) -> None:
        verdict = await log.verify()
        assert (verdict.valid, verdict.checked) == (True, 100)
        assert len(await listed(log, Selection(), {})) == 100

    with_log(lambda: ExportLog.open(export), facts)


@pytest.mark.parametrize(
    "content", [b"", b"not json\n", b'{"a": 1}\n', b"\x00" * 5000, b"SQLite format 3\x00" + b"x" * 90]
)
def test_a_file_that_is_none_of_ours_is_refused_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    for opened in (DatabaseLog.open, ExportLog.open):
        with pytest.raises(ClientError) as caught:
            asyncio.run(opened(path))
        assert "\n" not in str(caught.value)


def test_a_file_that_does_not_exist_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match="does not exist"):
        asyncio.run(DatabaseLog.open(tmp_path / "none.db"))
