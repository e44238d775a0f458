"""An export as a log: whole or in part, in every form that a daemon has given, and with lines that are no event."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from audit_stream.canonical import canonical_bytes, canonical_event, hash_of, splice_hash
from audit_stream.chain import GENESIS, GENESIS_HASH, Head, Verdict, link
from audit_stream.client import Live, RawEvent, Selection
from audit_stream.errors import ClientError
from audit_stream.kinds import DEFAULT_KINDS
from audit_tui.model.badge import State
from audit_tui.model.part_verdict import PartVerdict
from audit_tui.model.rows import Check, check_after, read_row
from audit_tui.offline import ExportLog
from audit_tui.session import Session
from tests.daemon.store.rig import event
from tests.tui.offline_log import EVERYTHING, read
from tests.tui.test_session import running, state

COUNT = 1_200
KINDS = [("request_denied", "policy"), ("request_allowed", "policy"), ("other", "cron")]


def chain(count: int = COUNT) -> list[bytes]:
    """Events as a daemon serves them."""
    prepared = [
        event(kind=KINDS[n % 3][0], source=KINDS[n % 3][1], payload={"n": n, "text": "学生"}, timestamp=minute(n))
        for n in range(count)
    ]
    return [splice_hash(each.canonical, each.hash) for each in link(GENESIS, prepared)]


def minute(number: int) -> str:
    return f"2026-06-01T{number // 60:02d}:{number % 60:02d}:00+00:00"


CHAIN = chain()


def of_the_seed(raw: bytes) -> dict[str, Any]:
    """The fields in the order of audit-stream 0.1.0, `hash` at the end."""
    fields = json.loads(raw)
    names = ("event_id", "timestamp", "kind", "source", "payload", "prev_hash", "hash")
    return {name: fields[name] for name in names}


def in_log(path: Path, body: Callable[[ExportLog], Awaitable[None]]) -> None:
    async def run() -> None:
        log = await ExportLog.open(path)
        try:
            await body(log)
        finally:
            await log.close()

    asyncio.run(run())


def written(tmp_path: Path, *lines: bytes) -> Path:
    path = tmp_path / "export.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


SEED = [of_the_seed(raw) for raw in CHAIN]
FORMS = {
    "lines": b"".join(raw + b"\n" for raw in CHAIN),
    "lines without the last break": b"\n".join(CHAIN),
    "lines of Windows": b"\r\n".join(CHAIN),
    "empty lines between": b"\n\n".join(CHAIN),
    "an array with a line each": b"[" + b",\n".join(CHAIN) + b"]\n",
    "an array in one line": b"[" + b",".join(CHAIN) + b"]",
    "0.1.0, an array in one line": json.dumps(SEED, separators=(",", ":"), ensure_ascii=False).encode(),
    "0.1.0, compact lines": b"".join(json.dumps(each, separators=(",", ":")).encode() + b"\n" for each in SEED),
    "0.1.0, spaced lines": b"".join(json.dumps(each).encode() + b"\n" for each in SEED),
    "0.1.0, indented": json.dumps(SEED, indent=2).encode(),
    "a byte order mark": b"\xef\xbb\xbf" + b"".join(raw + b"\n" for raw in CHAIN),
    "newest first": b"".join(raw + b"\n" for raw in reversed(CHAIN)),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_an_export_is_read_and_holds(tmp_path: Path, form: str) -> None:
    path = tmp_path / "export"
    path.write_bytes(FORMS[form])

    async def look(log: ExportLog) -> None:
        assert await read(log, since_id=0) == CHAIN
        stats, verdict = await log.stats(), await log.verify()
        assert (stats.count, stats.head) == (COUNT, Head(COUNT, json.loads(CHAIN[-1])["hash"]))
        assert stats.by_kind == {"request_denied": 400, "request_allowed": 400, "other": 400}
        assert stats.by_source == {"policy": 800, "cron": 400}
        assert (verdict.valid, verdict.reason, verdict.checked, verdict.head) == (True, None, COUNT, stats.head)
        assert (await log.stats()).last_verdict == verdict

    in_log(path, look)


@pytest.mark.parametrize(
    ("selection", "arguments", "expected"),
    [
        (EVERYTHING, {}, range(201, 1_201)),
        (EVERYTHING, {"limit": 3}, [1_198, 1_199, 1_200]),
        (EVERYTHING, {"since_id": 1_195}, range(1_196, 1_201)),
        (EVERYTHING, {"before_id": 700, "limit": 600}, range(100, 700)),
        (EVERYTHING, {"newest_first": True, "since_id": 5, "before_id": 9}, [8, 7, 6]),
        (EVERYTHING, {"before_id": 10**30, "limit": 1}, [1_200]),
        (Selection(kinds=("other",)), {"since_id": 0, "limit": 3}, [3, 6, 9]),
        (Selection(sources=("cron",), kinds=("other", "request_denied")), {"limit": 2}, [1_197, 1_200]),
        (Selection(since=minute(100), until=minute(102)), {"since_id": 0}, [101, 102, 103]),
        (Selection(since="1970-01-01T00:00:00Z", until="1970-01-01T00:00:00Z"), {}, []),
        (
            Selection(q="payload.n:>1190 -kind:other"),
            {"newest_first": True},
            [1_199, 1_198, 1_196, 1_195, 1_193, 1_192],
        ),
        (Selection(q="学生 id:7"), {}, [7]),
    ],
)
def test_what_is_selected_of_an_export(
    tmp_path: Path, selection: Selection, arguments: dict[str, Any], expected: list[int]
) -> None:
    async def look(log: ExportLog) -> None:
        assert await read(log, selection, **arguments) == [CHAIN[number - 1] for number in expected]

    in_log(written(tmp_path, *CHAIN), look)


def tampered(raw: bytes) -> bytes:
    return raw.replace(b'"text":"', b'"text":"x')


def rehashed(raw: bytes, **fields: Any) -> bytes:
    canonical = canonical_bytes(json.loads(raw) | fields)
    return splice_hash(canonical, hash_of(canonical))


BREAKS: dict[str, tuple[list[bytes], int, str]] = {
    "a changed event": ([*CHAIN[:9], tampered(CHAIN[9]), *CHAIN[10:20]], 10, "hash mismatch at event #10"),
    "an event twice": ([*CHAIN[:10], *CHAIN[9:20]], 10, "event #10 is in the file twice"),
    "two exports in one file": ([*CHAIN[:20], *CHAIN[10:30]], 11, "event #11 is in the file twice"),
    "a changed event behind the true one": (
        [*CHAIN[:20], tampered(CHAIN[9])],
        10,
        "event #10 is in the file twice",
    ),
    "a changed event before the true one": (
        [rehashed(CHAIN[9], prev_hash="1" * 64), *CHAIN[:20]],
        10,
        "event #10 is in the file twice",
    ),
    "the first event of a part twice": ([CHAIN[100], *CHAIN[100:120]], 101, "event #101 is in the file twice"),
    "the last event twice": ([*CHAIN[:20], CHAIN[19]], 20, "event #20 is in the file twice"),
    "an event twice behind a missing one": ([*CHAIN[:9], CHAIN[10], CHAIN[10]], 11, "event #11 is in the file twice"),
    "a changed event behind a missing one": (
        [*CHAIN[:5], tampered(CHAIN[9]), *CHAIN[10:20]],
        10,
        "hash mismatch at event #10",
    ),
    "a link that fails behind a missing one": (
        [*CHAIN[:5], rehashed(CHAIN[9], source="me"), *CHAIN[10:20]],
        11,
        "prev_hash mismatch at event #11",
    ),
    "another event in its place": (
        [*CHAIN[:9], rehashed(CHAIN[9], source="me"), *CHAIN[10:20]],
        11,
        "prev_hash mismatch at event #11",
    ),
    "a line that is no event": ([*CHAIN[:9], b"{}", *CHAIN[9:20]], 10, "line 10 of the file is no event"),
    "the first line is no event": ([b"nothing", *CHAIN[1:20]], 1, "line 1 of the file is no event"),
    "the last line is cut": ([*CHAIN[:19], CHAIN[19][:50]], 20, "line 20 of the file is no event"),
    "an event with a key too many": (
        [*CHAIN[:4], CHAIN[4][:-1] + b',"more":1}', *CHAIN[5:]],
        5,
        "line 5 of the file is no event",
    ),
    "a part with a changed event": ([*CHAIN[100:105], tampered(CHAIN[105])], 106, "hash mismatch at event #106"),
    "a negative id": (
        [CHAIN[0].replace(b'"event_id":1,', b'"event_id":-4,'), *CHAIN[:3]],
        1,
        "line 1 of the file is no event: -4 is no event id",
    ),
    "an id of 0 at the end": (
        [*CHAIN[:3], CHAIN[3].replace(b'"event_id":4,', b'"event_id":0,')],
        4,
        "line 4 of the file is no event: 0 is no event id",
    ),
    "an id beyond 64 bits": (
        [CHAIN[0], CHAIN[1].replace(b'"event_id":2,', b'"event_id":99999999999999999999,')],
        2,
        "line 2 of the file is no event",
    ),
    "a first event that follows another": (
        [rehashed(CHAIN[0], prev_hash="1" * 64)],
        1,
        "prev_hash mismatch at event #1",
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_break_is_named_at_its_place(tmp_path: Path, name: str) -> None:
    lines, at, reason = BREAKS[name]

    async def look(log: ExportLog) -> None:
        verdict = await log.verify()
        assert (verdict.valid, verdict.first_break_at, verdict.reason) == (False, at, reason)
        assert type(verdict) is Verdict
        whole = (json.loads(line) for line in lines if line.startswith(b'{"event_id"') and line[-1:] == b"}")
        assert verdict.checked == len({each["event_id"] for each in whole if 0 < each["event_id"] < at})

    in_log(written(tmp_path, *lines), look)


def part_of(path: Path) -> PartVerdict:
    found: list[Verdict] = []

    async def look(log: ExportLog) -> None:
        found.append(await log.verify())

    in_log(path, look)
    (verdict,) = found
    assert isinstance(verdict, PartVerdict)
    assert (verdict.valid, verdict.first_break_at, verdict.reason) == (True, None, None)
    return verdict


def test_a_part_of_a_log_is_checked_from_its_first_event(tmp_path: Path) -> None:
    path = written(tmp_path, *CHAIN[100:200])

    async def look(log: ExportLog) -> None:
        verdict = await log.verify()
        assert verdict.head == (await log.stats()).head
        assert await log.event(100) is None
        assert await read(log) == CHAIN[100:200]

    in_log(path, look)
    verdict = part_of(path)
    assert (verdict.checked, verdict.first_id, verdict.unseen_links, verdict.ends_within) == (100, 101, 0, "")
    assert verdict.words == "begins at #101"
    assert "It begins at #101: nothing is known of the events before." in verdict.sentences


def test_a_filtered_export_is_a_part_and_names_the_links_that_it_cannot_show(tmp_path: Path) -> None:
    verdict = part_of(written(tmp_path, *CHAIN[:2], *CHAIN[9:11], CHAIN[19], CHAIN[29], CHAIN[39], CHAIN[49]))
    assert verdict.checked == 8
    assert (verdict.unseen_links, verdict.first_unseen) == (5, ((2, 10), (11, 20), (20, 30)))
    assert verdict.words == "5 links not shown"
    assert "What links #2 to #10, #11 to #20, #20 to #30 and 2 more is not in the file" in verdict.sentences


def test_one_event_taken_out_is_one_link_not_shown(tmp_path: Path) -> None:
    verdict = part_of(written(tmp_path, *CHAIN[:9], *CHAIN[10:20]))
    assert verdict.words == "1 link not shown"
    assert "What links #9 to #11 is not in the file" in verdict.sentences


ENDS: dict[str, tuple[bytes, int, str]] = {
    "lines": (b"\n".join([*CHAIN[:19], CHAIN[19][:50]]), 19, "line 20"),
    "lines, after one byte": (b"\n".join([*CHAIN[:19], b"{"]), 19, "line 20"),
    "lines of an array": (b"[\n" + b",\n".join([*CHAIN[:19], CHAIN[19][:-1]]), 19, "item 20"),
    "lines of an array, between two": (b"[\n" + b",\n".join(CHAIN[:19]) + b",\n", 19, "item 20"),
    "lines of an array, its bracket beside an event": (b"[" + b",\n".join(CHAIN[:19]) + b",\n", 19, "line 20"),
    "an array": (b"[" + b",".join([*CHAIN[:19], CHAIN[19][:50]]), 19, "item 20"),
    "an array, between two": (b"[" + b",".join(CHAIN[:19]) + b",", 19, "item 20"),
    "an array, after an event": (b"[" + b",".join(CHAIN[:19]), 19, "item 20"),
}


@pytest.mark.parametrize("name", ENDS)
def test_an_export_that_breaks_off_says_where(tmp_path: Path, name: str) -> None:
    content, checked, where = ENDS[name]
    path = tmp_path / "cut"
    path.write_bytes(content)
    verdict = part_of(path)
    assert (verdict.checked, verdict.ends_within, verdict.words) == (checked, where, "incomplete")
    assert f"It ends within {where}: the file is incomplete." in verdict.sentences


def test_an_export_that_is_cut_anywhere_is_incomplete_or_holds(tmp_path: Path) -> None:
    whole = b"[" + b",".join(CHAIN[:4]) + b"]\n"
    path = tmp_path / "cut"
    for end in range(len(CHAIN[0]) + 1, len(whole) - 2, 37):
        path.write_bytes(whole[:end])
        assert part_of(path).ends_within.endswith(f" {part_of(path).checked + 1}")


def test_a_changed_event_is_served_with_the_hash_that_it_claims(tmp_path: Path) -> None:
    changed = of_the_seed(CHAIN[4]) | {"source": "me"}

    async def look(log: ExportLog) -> None:
        served = await log.event(5)
        assert served is not None
        assert json.loads(served.raw) == changed
        assert hash_of(canonical_event(served.raw)) != changed["hash"]

    in_log(written(tmp_path, *CHAIN[:4], json.dumps(changed).encode()), look)


NO_HASHES = ['a"b', "a\\", "a\nb\x1b[31m", "ключ", "\ud800", '"' * 64, ""]


@pytest.mark.parametrize("hash_", NO_HASHES)
def test_an_event_whose_hash_is_none_is_read_with_it_and_broken(tmp_path: Path, hash_: str) -> None:
    changed = of_the_seed(CHAIN[1]) | {"hash": hash_}

    async def look(log: ExportLog) -> None:
        row = read_row(RawEvent((await read(log))[1]), DEFAULT_KINDS)
        check_after(None, row)
        assert (row.event_id, row.check, row.reason) == (2, Check.BROKEN, "hash mismatch at event #2")
        assert row.hash == hash_.replace("\ud800", "\\ud800")
        verdict = await log.verify()
        assert (verdict.first_break_at, verdict.reason) == (2, "hash mismatch at event #2")

    in_log(written(tmp_path, CHAIN[0], json.dumps(changed).encode(), CHAIN[2]), look)


@pytest.mark.parametrize("prev_hash", ['a"b', "a\nb\x1b[31m", "ключ", '"' * 64])
def test_an_event_whose_prev_hash_is_none_is_read_with_it_and_broken(tmp_path: Path, prev_hash: str) -> None:
    changed = of_the_seed(CHAIN[1]) | {"prev_hash": prev_hash}

    async def look(log: ExportLog) -> None:
        row = read_row(RawEvent((await read(log))[1]), DEFAULT_KINDS)
        check_after(None, row)
        assert (row.prev_hash, row.check) == (prev_hash, Check.BROKEN)
        assert (await log.verify()).reason == "prev_hash mismatch at event #2"

    in_log(written(tmp_path, CHAIN[0], json.dumps(changed).encode(), CHAIN[2]), look)


def test_lines_that_are_no_event_are_skipped_by_readers(tmp_path: Path) -> None:
    async def look(log: ExportLog) -> None:
        assert await read(log) == CHAIN[:4]

    in_log(written(tmp_path, b"\xff\xfe", CHAIN[0], b"null", *CHAIN[1:3], b'{"event_id":"4"}', CHAIN[3], b"["), look)


def test_half_a_character_that_0_1_0_let_through_is_no_break(tmp_path: Path) -> None:
    fields = {"event_id": 1, "kind": "other", "payload": {"x": "\ud800"}, "prev_hash": GENESIS_HASH, "source": "s"}
    canonical = canonical_bytes(fields | {"timestamp": minute(0)})
    raw = splice_hash(canonical, hash_of(canonical))

    async def look(log: ExportLog) -> None:
        assert (await log.verify()).valid
        assert await read(log, Selection(kinds=("other",))) == [raw]

    in_log(written(tmp_path, raw), look)


def test_a_tail_gives_the_rest_and_then_waits(tmp_path: Path) -> None:
    async def look(log: ExportLog) -> None:
        tail = log.tail(since_id=COUNT - 2)
        assert await anext(tail) == Live(after_id=COUNT - 2)
        assert [(await anext(tail)).raw for _ in range(2)] == CHAIN[-2:]  # type: ignore[union-attr]  # a notice has none
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(tail), 0.05)

    in_log(written(tmp_path, *CHAIN), look)


def test_a_file_that_is_edited_or_cut_while_it_is_open_is_read_anew(tmp_path: Path) -> None:
    path = written(tmp_path, *CHAIN[:50])

    async def look(log: ExportLog) -> None:
        assert (await log.verify()).valid
        written(tmp_path, *CHAIN[:9], tampered(CHAIN[9]), *CHAIN[10:50])
        assert (await log.verify()).first_break_at == 10
        os.truncate(path, len(b"\n".join(CHAIN[:5])) + 1)
        assert await read(log) == CHAIN[:5]
        path.unlink()
        with pytest.raises(ClientError, match="cannot read"):
            await log.stats()

    in_log(path, look)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds no event"),
        (b"event_id,timestamp,kind\n1,2026,other\n", "holds no event"),
        (CHAIN[0].replace(b'"event_id":1,', b'"event_id":0,'), "holds no event"),
        (b'{"title":"Not Found","status":404}\n', "holds no event"),
        (b'[{"event_id":1}, oh]', "is no JSON array of events"),
        (b"[" * 5_000, "is no JSON array of events"),
        (b"SQLite format 3\x00" + b"\x00" * 5_000, "holds no event"),
    ],
)
def test_a_file_that_is_no_export_is_refused_in_one_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ClientError, match=words) as caught:
        asyncio.run(ExportLog.open(path))
    assert "\n" not in str(caught.value)


def test_the_badge_of_a_part_is_neither_verified_nor_broken_and_leaves_no_head_behind(tmp_path: Path) -> None:
    path = written(tmp_path, *CHAIN[:2], *CHAIN[9:11])
    heads: list[Head] = []

    async def look(log: ExportLog) -> None:
        session = Session(log, remember=heads.append)
        async with running(session) as until:
            await until(lambda: state(session) is State.PART)
            badge = session.integrity.badge(asyncio.get_running_loop().time())
            assert badge.text == "PART of a log: 4 events hold · 1 link not shown"
            assert "What links #2 to #10 is not in the file" in badge.detail
            assert (badge.is_alarm, heads) == (False, [])

    in_log(path, look)
