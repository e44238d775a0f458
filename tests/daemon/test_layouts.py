"""The layouts that are served: the tail's ring and the store write the same bytes, and JSON is JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from audit_daemon.http.events import ARRAY_ITEMS, LINES
from audit_daemon.store.sqlite import SqliteStore
from audit_daemon.tail import SSE, SSE_UNNAMED, Subscription, Tail
from audit_stream.canonical import prepare, splice_hash
from audit_stream.logfile.query import PageFormat
from tests.daemon.store.rig import Follower, event, in_store

EVENTS = [
    event(1),
    event(2, kind="request_denied", source="a/b:c@d"),
    event(payload={}),
    event(payload={"é": "\u2028 \n \x7f ' '' {kind} {{}} %s", "nested": [{"id": 1, "hash": "x"}]}),
    prepare(
        kind="imported\r\nid: 999\ndata: {}\n\n", source="s", payload={}, timestamp="2026-05-15T00:00:00Z", time_ms=None
    ),
]
IDS = range(1, len(EVENTS) + 1)


async def read(store: SqliteStore, ids: Sequence[int], page_format: PageFormat) -> bytes:
    return b"".join([chunk async for chunk in store.read(ids, page_format)])


@pytest.mark.parametrize("page_format", [SSE, SSE_UNNAMED], ids=["named", "unnamed"])
def test_a_stream_is_the_same_from_the_ring_and_from_the_store(tmp_path: Path, page_format: PageFormat) -> None:
    async def body(store: SqliteStore, _: Follower) -> None:
        live = Tail(store)
        await store.append(EVENTS)
        restarted = Tail(store)  # its ring is empty
        chunks = [await anext(tail.follow(0, Subscription(page_format=page_format))) for tail in (live, restarted)]
        assert chunks == [await read(store, IDS, page_format)] * 2
        assert chunks[0].count(b"\n\n") == len(EVENTS)

    in_store(tmp_path / "audit.db", body)


def test_json_layouts_are_the_events_as_they_are_served(tmp_path: Path) -> None:
    async def body(store: SqliteStore, follower: Follower) -> None:
        await store.append(EVENTS)
        served = [splice_hash(canonical, hash_) for _, canonical, hash_ in follower.told]
        items, lines = await read(store, IDS, ARRAY_ITEMS), await read(store, IDS, LINES)
        assert json.loads(b"[%b]" % items) == [json.loads(each) for each in served]
        assert lines.splitlines() == served
        assert lines.endswith(b"\n")

    in_store(tmp_path / "audit.db", body)


@pytest.mark.parametrize(
    "page_format", [PageFormat("it's {event_id}; {{{kind}}} 100%b", between="','"), PageFormat("{event_id}{event_id}")]
)
def test_a_layout_of_any_text_is_written_as_it_is_rendered(tmp_path: Path, page_format: PageFormat) -> None:
    async def body(store: SqliteStore, follower: Follower) -> None:
        await store.append(EVENTS)
        rendered = [
            page_format.render(kind=prepared.kind, event_id=event_id, event=splice_hash(canonical, hash_))
            for prepared, (event_id, canonical, hash_) in zip(EVENTS, follower.told, strict=True)
        ]
        assert await read(store, IDS, page_format) == page_format.between.encode().join(rendered)

    in_store(tmp_path / "audit.db", body)
