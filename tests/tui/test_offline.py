"""Files as logs: the same answers as a daemon gives over HTTP, and the same verdicts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from audit_stream.client import Client, Selection
from audit_stream.errors import ClientError
from audit_tui.log import Log
from audit_tui.offline import DatabaseLog, ExportLog
from tests.daemon_process import start_daemon
from tests.tui.offline_log import COUNT, EVERYTHING, build_log, minute, read

SELECTIONS: list[tuple[Selection, dict[str, Any]]] = [
    (EVERYTHING, {"limit": 10}),
    (EVERYTHING, {}),
    (EVERYTHING, {"since_id": 0}),
    (EVERYTHING, {"since_id": COUNT - 10}),
    (EVERYTHING, {"since_id": COUNT}),
    (EVERYTHING, {"before_id": 20, "limit": 7}),
    (EVERYTHING, {"before_id": 700, "limit": 600}),
    (EVERYTHING, {"before_id": 1}),
    (EVERYTHING, {"newest_first": True, "limit": 5}),
    (EVERYTHING, {"newest_first": True, "before_id": 30}),
    (EVERYTHING, {"newest_first": True, "since_id": 2_200, "before_id": 2_290}),
    (Selection(since=minute(1_100), until=minute(1_110)), {"since_id": 0}),
    (Selection(since=minute(2_290)), {}),
    (Selection(until=minute(3)), {"newest_first": True}),
    (Selection(sources=("policy",)), {"since_id": 100, "before_id": 140}),
    (Selection(kinds=("other",), sources=("cron",)), {"before_id": 100, "limit": 4}),
    (Selection(q="kind:request_denied"), {"since_id": 0}),
    (Selection(q="kind:no_such"), {"since_id": 0}),
    (Selection(q="severity:>=warning payload.number:>0"), {"limit": 9}),
    (Selection(q="since:2026-06-02T00:00:00Z kind:other"), {"since_id": 1_500, "limit": 40}),
    (Selection(q="id:5..9,2000..2003"), {"newest_first": True}),
    (Selection(q="-source:policy payload.number:>2200"), {}),
    (Selection(q="学生"), {"since_id": 100, "limit": 8}),
    (Selection(q="学生"), {"newest_first": True, "since_id": 2_000}),
    (Selection(q="学生", kinds=("other", "request_denied")), {"before_id": 1_025, "limit": 30}),
    (Selection(q="   "), {"limit": 3}),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, Path]]]:
    """A daemon's address, its database, and an export of it."""
    directory = tmp_path_factory.mktemp("offline")
    database, export = directory / "audit.db", directory / "export.jsonl"
    build_log(database)
    with start_daemon(database) as daemon:
        answer = httpx.get(f"{daemon.url}/events?since_id=0&limit=100000", headers={"Accept": "application/x-ndjson"})
        export.write_bytes(answer.content)
        yield daemon.url, {"database": database, "export": export}


OPENED: dict[str, Callable[[Path], Awaitable[Log]]] = {"database": DatabaseLog.open, "export": ExportLog.open}


def in_file(path: Path, kind: str, use: Callable[[Log], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        log = await OPENED[kind](path)
        try:
            return await use(log)
        finally:
            await log.close()

    return asyncio.run(main())


def in_daemon(url: str, use: Callable[[Log], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with Client(url) as client:
            return await use(client)

    return asyncio.run(main())


@pytest.mark.parametrize("number", range(len(SELECTIONS)))
@pytest.mark.parametrize("kind", OPENED)
def test_a_file_answers_as_the_daemon_does(files: tuple[str, dict[str, Path]], number: int, kind: str) -> None:
    url, paths = files
    selection, arguments = SELECTIONS[number]

    async def page(log: Log) -> list[bytes]:
        return await read(log, selection, **arguments)

    assert in_file(paths[kind], kind, page) == in_daemon(url, page)


@pytest.mark.parametrize("kind", OPENED)
def test_a_file_has_the_daemon_s_counts_and_verdict(files: tuple[str, dict[str, Path]], kind: str) -> None:
    url, paths = files

    async def facts(log: Log) -> tuple[Any, ...]:
        stats, verdict = await log.stats(), await log.verify()
        event = await log.event(42)
        assert event is not None
        assert await log.event(COUNT + 1) is None
        return stats.head, stats.by_kind, stats.by_source, verdict.valid, verdict.checked, verdict.head, event.raw

    assert in_file(paths[kind], kind, facts) == in_daemon(url, facts)


@pytest.mark.parametrize(
    ("selection", "words"), [(Selection(q="kind:"), "q, at position"), (Selection(since="yesterday"), "since")]
)
@pytest.mark.parametrize("kind", OPENED)
def test_a_malformed_selection_is_refused_as_the_daemon_refuses_it(
    files: tuple[str, dict[str, Path]], kind: str, selection: Selection, words: str
) -> None:
    url, paths = files

    async def refused(log: Log) -> int | None:
        with pytest.raises(ClientError, match=words) as caught:
            await anext(log.events(selection))
        return caught.value.status

    async def tail_refused(log: Log) -> int | None:
        with pytest.raises(ClientError, match=words) as caught:
            async for _ in log.tail(selection, since_id=0):
                pass
        return caught.value.status

    assert in_file(paths[kind], kind, refused) == in_daemon(url, refused) == 400
    assert in_file(paths[kind], kind, tail_refused) == 400


@pytest.mark.parametrize(
    "content", [b"", b"not json\n", b'{"a": 1}\n', b"\x00" * 5000, b"SQLite format 3\x00" + b"x" * 90]
)
@pytest.mark.parametrize("kind", OPENED)
def test_a_file_that_is_none_of_ours_is_refused_in_one_sentence(tmp_path: Path, kind: str, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ClientError) as caught:
        asyncio.run(_open(kind, path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", OPENED)
def test_a_path_without_a_file_is_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ClientError, match="does not exist"):
        asyncio.run(_open(kind, tmp_path / "none"))
    with pytest.raises(ClientError, match="is no file"):
        asyncio.run(_open(kind, tmp_path))


async def _open(kind: str, path: Path) -> Log:
    return await OPENED[kind](path)
