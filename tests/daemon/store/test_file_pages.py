"""A file read page by page without a daemon, also one whose rows somebody has removed or numbered anew."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit_stream.client import Selection
from audit_stream.logfile.index import Index, read_log
from audit_stream.logfile.opening import open_log
from audit_stream.logfile.query import Criteria, EventQuery, criteria_of
from audit_stream.logfile.reader import fetch_each, next_page
from tests.daemon.store.rig import build, event

COUNT = 2_300
KINDS = ("request_denied", "other", "breaker_opened")
FAR = 2**60


def minute(number: int) -> str:
    return f"2026-06-{1 + number // 1440:02d}T{number // 60 % 24:02d}:{number % 60:02d}:00+00:00"


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log without some events, one of which has a number far away."""
    path = tmp_path_factory.mktemp("edited") / "audit.db"
    made = [
        event(kind=KINDS[n % 3], source=f"s{n % 5}", payload={"n": n}, timestamp=minute(n)) for n in range(1, COUNT + 1)
    ]
    build(path, made)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM events WHERE event_id BETWEEN 900 AND 1100 OR event_id % 97 = 0")
        connection.execute("UPDATE events SET event_id = ? WHERE event_id = 2000", (FAR,))
        connection.commit()
    return path


def there(path: Path) -> list[tuple[int, dict[str, Any]]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT event_id, canonical FROM events ORDER BY event_id").fetchall()
    return [(row_id, json.loads(canonical)) for row_id, canonical in rows]


SELECTIONS = st.builds(
    Selection,
    kinds=st.lists(st.sampled_from(KINDS), unique=True, max_size=2).map(tuple),
    sources=st.lists(st.sampled_from(["s0", "s1", "s4", "nobody"]), unique=True, max_size=2).map(tuple),
    since=st.sampled_from(["", minute(1_000), minute(2_200)]),
    until=st.sampled_from(["", minute(950), minute(2_290)]),
    q=st.sampled_from(["", "payload.n:>2150", "payload.n:<5", "source:s3", "nowhere"]),
)


def holds(selection: Selection, fields: dict[str, Any]) -> bool:
    n = fields["payload"]["n"]
    by_filter = {
        "": True,
        "payload.n:>2150": n > 2150,
        "payload.n:<5": n < 5,
        "source:s3": fields["source"] == "s3",
        "nowhere": False,
    }
    return (
        (not selection.kinds or fields["kind"] in selection.kinds)
        and (not selection.sources or fields["source"] in selection.sources)
        and (not selection.since or fields["timestamp"] >= selection.since)
        and (not selection.until or fields["timestamp"] <= selection.until)
        and by_filter[selection.q]
    )


@given(
    selection=SELECTIONS,
    low=st.sampled_from([1, 899, 1_000, 2_250, FAR]),
    high=st.sampled_from([None, 950, 2_000, 2_290, FAR - 1, FAR]),
    limit=st.sampled_from([1, 7, 500, 5_000]),
    forward=st.booleans(),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_pages_hold_each_event_that_is_there_and_fits(
    edited: Path, selection: Selection, low: int, high: int | None, limit: int, forward: bool
) -> None:
    events = there(edited)
    expected = [n for n, fields in events if low <= n <= (high or FAR) and holds(selection, fields)]
    if limit < 7 and len(expected) > 300:
        limit = 7
    found: list[int] = []
    with contextlib.closing(open_log(edited)) as connection:
        index = Index(connection)
        criteria, more = criteria_of(selection), True
        while more:
            step = EventQuery(criteria=criteria, min_id=low, max_id=high, limit=limit, forward=forward)
            page = next_page(connection, step, lambda: index)
            assert len(page.ids) <= limit
            assert [row_id for row_id, _ in fetch_each(connection, page.ids)] == list(page.ids)
            found += page.ids
            more = page.more
            low, high = (page.reached + 1, high) if forward else (low, page.reached - 1)
    assert found == (expected if forward else expected[::-1])


@given(selection=SELECTIONS)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_export_has_what_is_there_and_fits(edited: Path, selection: Selection) -> None:
    lines = b"".join(chunk for chunk, _, _ in read_log(edited, criteria_of(selection)))
    expected = [fields["payload"]["n"] for _, fields in there(edited) if holds(selection, fields)]
    assert [json.loads(line)["payload"]["n"] for line in lines.splitlines()] == expected


@pytest.mark.parametrize("selection", [Selection(), Selection(q="payload.n:>2290"), Selection(until=minute(10))])
def test_a_head_far_behind_the_last_event_does_not_keep_an_export_busy(
    edited: Path, tmp_path: Path, selection: Selection
) -> None:
    path = tmp_path / "audit.db"
    shutil.copyfile(edited, path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE head SET event_id = ?", (2**62,))
        connection.commit()
    assert [chunk for chunk, _, _ in read_log(path, criteria_of(selection))] == [
        chunk for chunk, _, _ in read_log(edited, criteria_of(selection))
    ]


@given(
    criteria=st.builds(
        Criteria,
        kinds=st.none() | st.frozensets(st.sampled_from(["a", "b"])),
        sources=st.none() | st.frozensets(st.sampled_from(["x", "y"])),
        since_ms=st.none() | st.integers(0, 4),
        until_ms=st.none() | st.integers(0, 4),
        filter=st.none(),
    ),
    kind=st.sampled_from(["a", "b"]),
    source=st.sampled_from(["x", "y"]),
    time_ms=st.none() | st.integers(0, 4),
)
def test_what_criteria_admit(criteria: Criteria, kind: str, source: str, time_ms: int | None) -> None:
    timed = criteria.since_ms is not None or criteria.until_ms is not None
    low, high = criteria.since_ms or 0, 4 if criteria.until_ms is None else criteria.until_ms
    by_time = not timed if time_ms is None else low <= time_ms <= high
    by_kind = criteria.kinds is None or kind in criteria.kinds
    by_source = criteria.sources is None or source in criteria.sources
    assert criteria.admits(kind, source, time_ms) is (by_time and by_kind and by_source)
