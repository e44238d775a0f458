"""Whatever is edited in the file, the verdict names the first event that does not hold."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit_daemon.store import schema
from audit_stream.canonical import hash_of
from audit_stream.chain import Head, Verdict
from audit_stream.logfile.errors import StoreUnusable
from audit_stream.logfile.opening import APPLICATION_ID, SCHEMA_VERSION
from audit_stream.logfile.tables import TABLES
from audit_stream.logfile.verification import verify_file
from tests.daemon.store.rig import build, event, opened
from tests.daemon.verifier.logs import COUNT, copy, edit, editing, forged_next, make, rechain, sample

# Forking is deprecated in a process with threads, as a pytest worker is; the verifying process has only one.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")

EDGES = [1, 2, 77, 1_023, 1_024, 1_025, 2_047, 2_048, 2_049, COUNT - 1, COUNT]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Head]:
    path = tmp_path_factory.mktemp("log") / "audit.db"
    return path, make(path)


@pytest.fixture
def original(log: tuple[Path, Head]) -> Path:
    return log[0]


@pytest.fixture
def head(log: tuple[Path, Head]) -> Head:
    return log[1]


def assert_breaks(path: Path, first_break_at: int, reason: str, *, acknowledged: Head | None = None) -> None:
    """One process and several agree on the break, and on what holds before it."""
    report = verify_file(path, workers=1, acknowledged=acknowledged)
    assert (report.valid, report.first_break_at) == (False, first_break_at)
    assert report.reason is not None
    assert report.reason.startswith(reason)
    assert report.head is not None
    assert report.checked == report.head.event_id <= first_break_at
    for workers in (2, 3):
        parallel = verify_file(path, workers=workers, acknowledged=acknowledged)
        assert summary(parallel) == summary(report)


def summary(report: Verdict) -> tuple[bool, int, int | None, str | None, Head | None]:
    return report.valid, report.checked, report.first_break_at, report.reason, report.head


def test_an_untouched_log_is_valid_and_ends_at_its_head(original: Path, head: Head) -> None:
    for workers in (1, 2, 3, 4, None):
        report = verify_file(original, workers=workers, acknowledged=head)
        assert summary(report) == (True, COUNT, None, None, head)


def test_an_empty_log_is_valid(tmp_path: Path) -> None:
    make(tmp_path / "audit.db", 0)
    assert summary(verify_file(tmp_path / "audit.db")) == (True, 0, None, None, Head(0, "0" * 64))


def _set(column: str, value: str) -> Callable[[int], str]:
    return lambda event_id: f"UPDATE events SET {column} = {value} WHERE event_id = {event_id}"


_PAYLOAD = 'CAST(replace(CAST(canonical AS TEXT), \'"payload":{\', \'"payload":{"a":1,\') AS BLOB)'
_LINK = 'CAST(replace(CAST(canonical AS TEXT), \'"prev_hash":"\', \'"prev_hash":"f\') AS BLOB)'
_NUMBER = "CAST(replace(CAST(canonical AS TEXT), '\"event_id\":', '\"event_id\":9') AS BLOB)"

COLUMN_EDITS = {
    "payload": (_set("canonical", _PAYLOAD), "hash mismatch at event #{}"),
    "prev_hash in the bytes": (_set("canonical", _LINK), "prev_hash mismatch at event #{}"),
    "event_id in the bytes": (_set("canonical", _NUMBER), "hash mismatch at event #{}"),
    "a byte more": (_set("canonical", "CAST(canonical || ' ' AS BLOB)"), "hash mismatch at event #{}"),
    "a byte less": (_set("canonical", "substr(canonical, 1, length(canonical) - 1)"), "hash mismatch at event #{}"),
    "no bytes": (_set("canonical", "x''"), "hash mismatch at event #{}"),
    "bytes that are no text": (_set("canonical", "x'ff00fe'"), "hash mismatch at event #{}"),
    "hash": (_set("hash", "printf('%064d', 0)"), "hash mismatch at event #{}"),
    "half a hash": (_set("hash", "substr(hash, 1, 16)"), "hash mismatch at event #{}"),
    "a hash in capitals": (_set("hash", "upper(hash)"), "hash mismatch at event #{}"),
    "a hash that is no text": (_set("hash", "CAST(x'ff00fe' AS TEXT)"), "hash mismatch at event #{}"),
    "no hash": (_set("hash", "''"), "hash mismatch at event #{}"),
    "another series": (_set("series_id", "series_id % 5 + 1"), "kind column mismatch at event #{}"),
    "an unknown series": (_set("series_id", "99"), "kind column mismatch at event #{}"),
    "series number 0": (_set("series_id", "0"), "kind column mismatch at event #{}"),
    "series_seq more": (_set("series_seq", "series_seq + 1"), "series_seq column mismatch at event #{}"),
    "series_seq less": (_set("series_seq", "series_seq - 1"), "series_seq column mismatch at event #{}"),
    "time_ms": (_set("time_ms", "coalesce(time_ms, 0) + 1"), "time_ms column mismatch at event #{}"),
}


@pytest.mark.parametrize("event_id", EDGES)
@pytest.mark.parametrize("what", COLUMN_EDITS)
def test_an_edit_of_a_column_breaks_the_chain_at_its_event(
    tmp_path: Path, original: Path, what: str, event_id: int
) -> None:
    path = copy(original, tmp_path)
    statement, reason = COLUMN_EDITS[what]
    edit(path, statement(event_id))
    report = verify_file(path, workers=1)
    assert (report.valid, report.first_break_at, report.checked) == (False, event_id, event_id - 1)
    expected = reason.format(event_id)
    if what == "another series":  # of the same kind, then it is the source that differs
        assert report.reason in (expected, expected.replace("kind", "source"))
    else:
        assert report.reason == expected
    assert summary(verify_file(path, workers=3)) == summary(report)


def test_a_time_that_is_removed_or_made_up_breaks_the_chain_at_its_event(tmp_path: Path, original: Path) -> None:
    path = copy(original, tmp_path)
    edit(path, "UPDATE events SET time_ms = 5 WHERE time_ms IS NULL AND event_id > 1000")
    assert_breaks(path, 1_073, "time_ms column mismatch at event #1073")
    edit(path, "UPDATE events SET time_ms = NULL WHERE event_id = 900")
    assert_breaks(path, 900, "time_ms column mismatch at event #900")


@pytest.mark.parametrize("event_id", EDGES[:-1])
def test_an_edit_with_its_hash_recomputed_breaks_the_chain_at_the_next_event(
    tmp_path: Path, original: Path, event_id: int
) -> None:
    path = copy(original, tmp_path)
    with editing(path) as connection:
        connection.create_function("hash_of", 1, hash_of)
        connection.execute(COLUMN_EDITS["payload"][0](event_id))
        connection.execute("UPDATE events SET hash = hash_of(canonical) WHERE event_id = ?", (event_id,))
    assert_breaks(path, event_id + 1, f"prev_hash mismatch at event #{event_id + 1}")


def test_an_edit_of_the_last_event_with_its_hash_recomputed_does_not_fit_the_head(
    tmp_path: Path, original: Path
) -> None:
    path = copy(original, tmp_path)
    with editing(path) as connection:
        connection.create_function("hash_of", 1, hash_of)
        connection.execute(COLUMN_EDITS["payload"][0](COUNT))
        connection.execute("UPDATE events SET hash = hash_of(canonical) WHERE event_id = ?", (COUNT,))
    assert_breaks(path, COUNT, f"head hash mismatch at event #{COUNT}")


@pytest.mark.parametrize(
    ("condition", "first_break_at", "reason"),
    [
        ("event_id = 1", 1, "event_id should be 1, got 2"),
        ("event_id = 2", 2, "event_id should be 2, got 3"),
        ("event_id = 1024", 1_024, "event_id should be 1024, got 1025"),
        ("event_id = 1025", 1_025, "event_id should be 1025, got 1026"),
        ("event_id BETWEEN 500 AND 2100", 500, "event_id should be 500, got 2101"),
        (f"event_id = {COUNT}", COUNT, f"event_id should be {COUNT}, got none"),
        (f"event_id > {COUNT - 7}", COUNT - 6, f"event_id should be {COUNT - 6}, got none"),
        ("event_id > 1024", 1_025, "event_id should be 1025, got none"),
        ("event_id > 0", 1, "event_id should be 1, got none"),
        ("series_id = 3", 3, "event_id should be 3, got 4"),
    ],
)
def test_a_deletion_breaks_the_chain_at_the_first_event_that_is_gone(
    tmp_path: Path, original: Path, condition: str, first_break_at: int, reason: str
) -> None:
    path = copy(original, tmp_path)
    edit(path, f"DELETE FROM events WHERE {condition}")
    assert_breaks(path, first_break_at, reason)


COPIED = "series_id, series_seq, time_ms, hash, canonical FROM events WHERE event_id"


@pytest.mark.parametrize("trigger", [True, False])
@pytest.mark.parametrize("event_id", [0, -1, -(2**63)])
def test_an_insertion_before_the_first_event_breaks_the_chain_at_1(
    tmp_path: Path, original: Path, event_id: int, trigger: bool
) -> None:
    path = copy(original, tmp_path)
    drop = () if trigger else ("DROP TRIGGER IF EXISTS head_follows",)
    edit(path, *drop, f"INSERT INTO events SELECT {event_id}, {COPIED} = 1")
    assert_breaks(path, 1, f"event_id should be 1, got {event_id}")


@pytest.mark.parametrize("event_id", [0, -1, -(2**63)])
def test_an_insertion_before_the_first_event_of_an_empty_log_breaks_the_chain_at_1(
    tmp_path: Path, event_id: int
) -> None:
    path = tmp_path / "audit.db"
    make(path, 0)
    edit(
        path,
        "INSERT INTO series VALUES (1, 'other', 'test')",
        f"INSERT INTO events VALUES ({event_id}, 1, 1, 0, 'made up', x'7b7d')",
    )
    assert verify_file(path).first_break_at == 1


def test_an_event_that_is_doubled_and_the_rest_moved_up_breaks_the_chain_at_the_double(
    tmp_path: Path, original: Path
) -> None:
    path = copy(original, tmp_path)
    edit(
        path,
        "UPDATE events SET event_id = -event_id WHERE event_id > 500",
        "UPDATE events SET event_id = 1 - event_id WHERE event_id < 0",
        f"INSERT INTO events SELECT 501, {COPIED} = 500",
        f"UPDATE head SET event_id = {COUNT + 1}, hash = (SELECT hash FROM events ORDER BY event_id DESC LIMIT 1)",
    )
    assert_breaks(path, 501, "prev_hash mismatch at event #501")


def test_an_event_that_is_replaced_by_a_double_of_another_breaks_the_chain_there(
    tmp_path: Path, original: Path
) -> None:
    path = copy(original, tmp_path)
    edit(path, "DELETE FROM events WHERE event_id = 600", f"INSERT INTO events SELECT 600, {COPIED} = 500")
    assert_breaks(path, 600, "prev_hash mismatch at event #600")


@pytest.mark.parametrize("distance", [1, 2, 100])
def test_an_event_beyond_the_head_that_is_linked_to_nothing_breaks_the_chain_there(
    tmp_path: Path, original: Path, distance: int
) -> None:
    path = copy(original, tmp_path)
    edit(path, f"INSERT INTO events SELECT {COUNT + distance}, {COPIED} = 5")
    report = verify_file(path)
    assert (report.valid, report.first_break_at, report.checked) == (False, COUNT + 1, COUNT)


def test_an_event_that_was_appended_behind_the_head_s_back_breaks_the_chain_there(
    tmp_path: Path, original: Path, head: Head
) -> None:
    path = copy(original, tmp_path)
    with editing(path) as connection:
        connection.execute("DROP TRIGGER IF EXISTS head_follows")
        row = forged_next(connection, COUNT + 1, head.hash)
        connection.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", row)
    assert_breaks(path, COUNT + 1, f"event #{COUNT + 1} is beyond the log's head, #{COUNT}")


WHOLE = "(series_id, series_seq, time_ms, hash, canonical)"


@pytest.mark.parametrize(("one", "other"), [(1, 2), (77, 78), (1_024, 1_025), (5, 2_500), (COUNT - 1, COUNT)])
@pytest.mark.parametrize("columns", [WHOLE, "(hash, canonical)", "(canonical)", "(hash)"])
def test_a_swap_of_two_events_breaks_the_chain_at_the_first(
    tmp_path: Path, original: Path, columns: str, one: int, other: int
) -> None:
    path = copy(original, tmp_path)
    values = columns.strip("()")
    edit(
        path,
        f"CREATE TEMP TABLE swapped AS SELECT * FROM events WHERE event_id IN ({one}, {other})",
        f"UPDATE events SET {columns} = (SELECT {values} FROM swapped WHERE event_id = {other}) WHERE event_id = {one}",
        f"UPDATE events SET {columns} = (SELECT {values} FROM swapped WHERE event_id = {one}) WHERE event_id = {other}",
    )
    report = verify_file(path, workers=1)
    assert (report.valid, report.first_break_at) == (False, one)
    assert report.reason in (f"prev_hash mismatch at event #{one}", f"hash mismatch at event #{one}")
    assert summary(verify_file(path, workers=2)) == summary(report)


def test_a_swap_of_two_ids_breaks_the_chain_at_the_first(tmp_path: Path, original: Path) -> None:
    path = copy(original, tmp_path)
    edit(
        path,
        "UPDATE events SET event_id = -1 WHERE event_id = 300",
        "UPDATE events SET event_id = 300 WHERE event_id = 301",
        "UPDATE events SET event_id = 301 WHERE event_id = -1",
    )
    assert_breaks(path, 300, "prev_hash mismatch at event #300")


@pytest.mark.parametrize(
    ("statement", "first_break_at", "reason"),
    [
        ("UPDATE series SET kind = 'breaker_opened' WHERE series_id = 3", 3, "kind column mismatch at event #3"),
        ("UPDATE series SET source = 'nobody' WHERE series_id = 4", 4, "source column mismatch at event #4"),
        ("UPDATE series SET source = '' WHERE series_id = 5", 5, "source column mismatch at event #5"),
        ("UPDATE series SET kind = CAST(x'ff' AS TEXT) WHERE series_id = 3", 3, "kind column mismatch at event #3"),
        ("UPDATE series SET series_id = 9 WHERE series_id = 2", 2, "kind column mismatch at event #2"),
        ("DELETE FROM series WHERE series_id = 1", 1, "kind column mismatch at event #1"),
        ("UPDATE spans SET min_ms = min_ms - 1 WHERE span = 0", 1_024, "time span mismatch at event #1024"),
        ("UPDATE spans SET max_ms = max_ms + 1 WHERE span = 1", 2_048, "time span mismatch at event #2048"),
        ("UPDATE spans SET min_ms = NULL WHERE span = 1", 2_048, "time span mismatch at event #2048"),
        ("DELETE FROM spans WHERE span = 0", 1_024, "time span mismatch at event #1024"),
        ("UPDATE spans SET span = 7 WHERE span = 1", 2_048, "time span mismatch at event #2048"),
        ("INSERT INTO spans VALUES (2, 0, 1)", COUNT, f"time span mismatch at event #{COUNT}"),
        ("UPDATE head SET hash = printf('%064d', 0)", COUNT, f"head hash mismatch at event #{COUNT}"),
        ("UPDATE head SET hash = CAST(x'ff' AS TEXT)", COUNT, f"head hash mismatch at event #{COUNT}"),
        ("UPDATE head SET event_id = 3000", COUNT + 1, f"event_id should be {COUNT + 1}, got none"),
        ("UPDATE head SET event_id = 2000", 2_001, "event #2001 is beyond the log's head, #2000"),
        ("UPDATE head SET event_id = 0", 1, "event #1 is beyond the log's head, #0"),
        ("UPDATE head SET event_id = -9", 1, "event #1 is beyond the log's head, #-9"),
        ("DELETE FROM head", 1, "the record of the log's head is gone"),
    ],
)
def test_an_edit_of_what_is_derived_breaks_the_chain_where_it_disagrees(
    tmp_path: Path, original: Path, statement: str, first_break_at: int, reason: str
) -> None:
    path = copy(original, tmp_path)
    edit(path, statement)
    assert_breaks(path, first_break_at, reason)


def test_a_swap_of_two_series_breaks_the_chain_at_the_first_event_of_either(tmp_path: Path, original: Path) -> None:
    path = copy(original, tmp_path)
    edit(
        path,
        "UPDATE series SET series_id = -2 WHERE series_id = 2",
        "UPDATE series SET series_id = 2 WHERE series_id = 4",
        "UPDATE series SET series_id = 4 WHERE series_id = -2",
    )
    assert_breaks(path, 2, "kind column mismatch at event #2")


@pytest.mark.parametrize("cut", [1, 600, COUNT])
def test_a_log_cut_short_with_its_head_is_found_by_who_remembers_the_head(
    tmp_path: Path, original: Path, head: Head, cut: int
) -> None:
    path, left = copy(original, tmp_path), COUNT - cut
    edit(
        path,
        f"DELETE FROM events WHERE event_id > {left}",
        f"DELETE FROM spans WHERE span >= {left // 1024}",
        f"UPDATE head SET event_id = {left},"
        f" hash = coalesce((SELECT hash FROM events WHERE event_id = {left}), printf('%064d', 0))",
        "DELETE FROM series WHERE series_id NOT IN (SELECT series_id FROM events)",
    )
    assert verify_file(path).valid is True  # the chain alone cannot show it
    assert_breaks(path, left + 1, f"event_id should be {left + 1}, got none", acknowledged=head)


@pytest.mark.parametrize("event_id", [1, 1_024, COUNT])
def test_a_log_rewritten_with_a_valid_chain_is_found_by_who_remembers_the_head(
    tmp_path: Path, original: Path, head: Head, event_id: int
) -> None:
    path = copy(original, tmp_path)
    with editing(path) as connection:
        rechain(connection, event_id, lambda canonical: canonical.replace(b'"payload":{', b'"payload":{"a":1,'))
    assert verify_file(path).valid is True
    report = verify_file(path, acknowledged=head)
    assert (report.valid, report.first_break_at) == (False, COUNT)
    assert report.reason == f"hash mismatch at event #{COUNT}: the log was rewritten at or before it"


@pytest.mark.parametrize("value", ["CAST(x'ff' AS TEXT)", "NULL", "0", "1.5", "zeroblob(9)"])
@pytest.mark.parametrize("column", ["hash", "canonical", "series_id", "series_seq"])
def test_a_value_of_another_type_breaks_the_chain_at_its_event(
    tmp_path: Path, original: Path, column: str, value: str
) -> None:
    """Whoever can write the file can also take STRICT and NOT NULL away from the table."""
    path = copy(original, tmp_path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET sql = replace(replace(sql, ') STRICT', ')'), 'NOT NULL', '')")
        connection.execute("PRAGMA writable_schema = RESET")
    edit(path, f"UPDATE events SET {column} = {value} WHERE event_id = 1500")
    report = verify_file(path)
    assert (report.valid, report.first_break_at) == (False, 1_500)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_an_edit_of_any_byte_of_any_event_breaks_the_chain_there(
    tmp_path: Path, original: Path, data: st.DataObject
) -> None:
    path = copy(original, tmp_path)
    event_id = data.draw(st.integers(1, COUNT))
    column = data.draw(st.sampled_from(["canonical", "hash"]))
    with editing(path) as connection:
        (value,) = connection.execute(f"SELECT {column} FROM events WHERE event_id = ?", (event_id,)).fetchone()
        at = data.draw(st.integers(0, len(value) - 1))
        old = value.encode() if isinstance(value, str) else value
        changed = old[:at] + bytes([old[at] ^ data.draw(st.integers(1, 255))]) + old[at + 1 :]
        new = "CAST(? AS TEXT)" if isinstance(value, str) else "?"
        connection.execute(f"UPDATE events SET {column} = {new} WHERE event_id = ?", (changed, event_id))
    report = verify_file(path, workers=data.draw(st.sampled_from([1, 2])))
    assert (report.valid, report.first_break_at, report.checked) == (False, event_id, event_id - 1)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    event_id=st.integers(1, COUNT),
    column=st.sampled_from(["series_id", "series_seq", "time_ms"]),
    value=st.integers(-(2**63), 2**63 - 1) | st.integers(0, 600),
)
def test_any_other_number_in_a_derived_column_breaks_the_chain_there(
    tmp_path: Path, original: Path, event_id: int, column: str, value: int
) -> None:
    path = copy(original, tmp_path)
    with editing(path) as connection:
        (before,) = connection.execute(f"SELECT {column} FROM events WHERE event_id = ?", (event_id,)).fetchone()
        connection.execute(f"UPDATE events SET {column} = ? WHERE event_id = ?", (value, event_id))
    report = verify_file(path)
    assert report.first_break_at == (None if before == value else event_id)


def contents(path: Path) -> object:
    """All that is evidence in the file, or the error that reading it gives."""
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            connection.text_factory = bytes
            return [
                connection.execute(f"SELECT * FROM {table} NOT INDEXED").fetchall()
                for table in ("events", "series", "spans", "head")
            ]
    except sqlite3.Error as error:
        return str(error)


@pytest.mark.parametrize("seed", range(6))
def test_flipped_bits_in_the_file_are_found_or_the_file_cannot_be_checked(tmp_path: Path, seed: int) -> None:
    """A disk that rots, or an editor of pages: never a crash, never "valid" when what is stored has changed."""
    flips = random.Random(seed)
    path, pristine = tmp_path / "audit.db", tmp_path / "pristine.db"
    make(pristine, 300)
    before, size = contents(pristine), pristine.stat().st_size
    found = 0
    for _ in range(60):
        shutil.copy(pristine, path)
        with path.open("r+b") as file:
            for _ in range(flips.choice([1, 1, 8])):
                at = flips.randrange(size)
                file.seek(at)
                byte = file.read(1)[0]
                file.seek(at)
                file.write(bytes([byte ^ (1 << flips.randrange(8))]))
        try:
            valid = verify_file(path).valid
        except (StoreUnusable, sqlite3.Error):
            valid = False
        found += not valid
        assert not valid or contents(path) == before
    assert found > 20


@pytest.mark.parametrize("tamper", ["edit", "delete", "insert"])
async def test_tampering_is_found_in_a_file_that_the_daemon_has_open(
    tmp_path: Path, original: Path, tamper: str
) -> None:
    path = copy(original, tmp_path)

    async with opened(path) as (store, _):
        await store.append([sample(COUNT)])
        if tamper == "edit":
            edit(path, COLUMN_EDITS["payload"][0](1_300))
        elif tamper == "delete":
            edit(path, "DELETE FROM events WHERE event_id = 1300")
        else:
            edit(path, f"INSERT INTO events SELECT 0, {COPIED} = 1300")
        report = verify_file(path, acknowledged=store.head)
        assert (report.valid, report.first_break_at) == (False, 1 if tamper == "insert" else 1_300)


def _as_an_index(table: str, columns: str, *, of: str) -> list[str]:
    """Let this table's index take the place of another's, whose definition stays as it was."""
    return [
        f"CREATE INDEX forged ON {table} ({columns})",
        "PRAGMA writable_schema = ON",
        "CREATE TEMP TABLE pages AS SELECT name, rootpage FROM sqlite_schema",
        f"UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM pages WHERE name = '{of}') WHERE name = 'forged'",
        f"UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM pages WHERE name = 'forged') WHERE name = '{of}'",
        "DELETE FROM sqlite_schema WHERE name IN ('forged', 'shadow')",
    ]


INDEX_EDITS = {
    "events that change places in the index, with equal counts and sums of ids": (
        [
            "CREATE TABLE shadow (event_id INTEGER PRIMARY KEY, series_id)",
            "INSERT INTO shadow SELECT event_id, series_id FROM events",
            "UPDATE shadow SET series_id = 3 - series_id"
            " WHERE event_id IN (101, 106, 111, 116, 126, 102, 107, 112, 117, 122)",
            *_as_an_index("shadow", "series_id", of="events_series"),
        ],
        101,
        "kind and source index mismatch",
    ),
    "an index with an entry more": (
        [
            "CREATE TABLE shadow (event_id INTEGER PRIMARY KEY, series_id)",
            "INSERT INTO shadow SELECT event_id, series_id FROM events",
            "INSERT INTO shadow VALUES (-5, 1)",
            *_as_an_index("shadow", "series_id", of="events_series"),
        ],
        COUNT,
        "kind and source index mismatch",
    ),
    "an index of series that lists none": (
        [
            "CREATE TABLE shadow (series_id INTEGER PRIMARY KEY, kind, source)",
            *_as_an_index("shadow", "kind, source", of="sqlite_autoindex_series_1"),
        ],
        COUNT,
        "the index of the series misses one",
    ),
    "an event that the index leaves out": (
        [
            "DROP INDEX events_series",
            "CREATE INDEX events_series ON events (series_id) WHERE event_id <> 5",
            "PRAGMA writable_schema = ON",
            "UPDATE sqlite_schema SET sql = 'CREATE INDEX events_series ON events (series_id)'"
            " WHERE name = 'events_series'",
        ],
        5,
        "kind and source index mismatch",
    ),
    "no index": (["DROP INDEX events_series"], COUNT, "the database's tables were changed: events_series is missing"),
    "a kind and source that nobody sent": (
        ["INSERT INTO series (kind, source) VALUES ('request_denied', 'ghost')"],
        COUNT,
        "there is a kind and source without any event",
    ),
}


SCHEMA_EDITS = {
    "a trigger that drops what is inserted": (
        "CREATE TRIGGER drops BEFORE INSERT ON events BEGIN SELECT RAISE(IGNORE); END",
        "drops is not ours",
    ),
    "a trigger on another table": (
        "CREATE TRIGGER counts AFTER INSERT ON series BEGIN DELETE FROM spans; END",
        "counts is not ours",
    ),
    "no trigger": ("DROP TRIGGER head_follows", "head_follows is missing"),
    "another trigger": (
        "DROP TRIGGER head_follows; CREATE TRIGGER head_follows AFTER INSERT ON events BEGIN"
        " UPDATE head SET event_id = NEW.event_id; END",
        "head_follows is another",
    ),
    "a partial index": (
        "DROP INDEX events_series; CREATE INDEX events_series ON events (series_id) WHERE event_id > 5",
        "events_series is another",
    ),
    "a descending index": (
        "DROP INDEX events_series; CREATE INDEX events_series ON events (series_id DESC)",
        "events_series is another",
    ),
    "an index on an expression": (
        "DROP INDEX events_series; CREATE INDEX events_series ON events (abs(series_id))",
        "events_series is another",
    ),
    "an index more": ("CREATE INDEX more ON events (time_ms)", "more is not ours"),
    "a view": ("CREATE VIEW other AS SELECT * FROM events", "other is not ours"),
    "a table more": ("CREATE TABLE more (a)", "more is not ours"),
    "a table without its types": (
        "PRAGMA writable_schema = ON;"
        "UPDATE sqlite_schema SET sql = replace(sql, ') STRICT', ')') WHERE name = 'events'",
        "events is another",
    ),
    "a column more": ("ALTER TABLE events ADD COLUMN more INTEGER", "events is another"),
    "events that are a view": (
        "ALTER TABLE events RENAME TO truth; CREATE VIEW events AS SELECT * FROM truth",
        "events is another",
    ),
    "events without their bytes": ("ALTER TABLE events DROP COLUMN canonical", "events is another"),
    "no spans": ("DROP TABLE spans", "spans is missing"),
    "a trigger that calls itself statistics": (
        "CREATE TRIGGER drops BEFORE INSERT ON events BEGIN SELECT RAISE(IGNORE); END;"
        "PRAGMA writable_schema = ON;"
        "UPDATE sqlite_schema SET name = 'sqlite_stat1', sql = replace(sql, 'drops', 'sqlite_stat1')"
        " WHERE name = 'drops'",
        "sqlite_stat1 is not ours",
    ),
    "a trigger that has the name of an index and stands before it": (
        "CREATE TRIGGER idempotency_time BEFORE INSERT ON events BEGIN SELECT RAISE(IGNORE); END;"
        "PRAGMA writable_schema = ON;"
        "UPDATE sqlite_schema SET rowid = 100 WHERE name = 'idempotency_time' AND type = 'index'",
        "idempotency_time is not ours",
    ),
}


@pytest.mark.parametrize("edits", SCHEMA_EDITS)
def test_tables_that_are_not_ours_break_the_chain_and_no_daemon_starts_on_them(
    original: Path, tmp_path: Path, edits: str
) -> None:
    statements, difference = SCHEMA_EDITS[edits]
    path = copy(original, tmp_path)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(statements)
    for workers in (1, 2):
        verdict = verify_file(path, workers=workers)
        assert (verdict.valid, verdict.reason) == (False, f"the database's tables were changed: {difference}")
        assert verdict.first_break_at in (1, COUNT)
    with pytest.raises(StoreUnusable, match=difference):
        schema.create(path)


@pytest.mark.parametrize("encoding", ["UTF-16le", "UTF-16be"])
def test_a_log_in_another_encoding_is_not_ours(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "audit.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA encoding = '{encoding}'")
        connection.executescript(TABLES)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    assert verify_file(path).reason == f"the database's tables were changed: text is encoded as {encoding}"
    with pytest.raises(StoreUnusable, match=f"text is encoded as {encoding}"):
        schema.create(path)


def test_an_event_that_does_not_hold_comes_before_tables_that_are_not_ours(original: Path, tmp_path: Path) -> None:
    path = copy(original, tmp_path)
    edit(path, "CREATE VIEW other AS SELECT * FROM events", COLUMN_EDITS["payload"][0](77))
    assert_breaks(path, 77, "hash mismatch at event #77")


@pytest.mark.parametrize("statement", ["ANALYZE", "VACUUM", "REINDEX", "PRAGMA optimize"])
def test_what_an_operator_may_do_to_a_database_is_not_taken_for_tampering(
    original: Path, tmp_path: Path, head: Head, statement: str
) -> None:
    path = copy(original, tmp_path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
    assert verify_file(path, acknowledged=head).valid
    schema.create(path)


async def test_a_schema_that_is_changed_under_a_running_daemon_is_found(original: Path, tmp_path: Path) -> None:
    path = copy(original, tmp_path)

    async with opened(path) as (store, _):
        await store.append([sample(COUNT)])
        edit(path, SCHEMA_EDITS["a trigger that drops what is inserted"][0])
        verdict = verify_file(path, acknowledged=store.head)
        assert (verdict.valid, verdict.first_break_at) == (False, COUNT + 1)


@pytest.mark.parametrize("edits", INDEX_EDITS)
def test_what_would_make_queries_mislead_is_found(original: Path, tmp_path: Path, edits: str) -> None:
    statements, first_break_at, reason = INDEX_EDITS[edits]
    path = copy(original, tmp_path)
    edit(path, *statements)
    assert_breaks(path, first_break_at, reason)


def test_a_head_that_is_there_twice_breaks_the_chain(original: Path, tmp_path: Path) -> None:
    path = copy(original, tmp_path)
    edit(
        path,
        "PRAGMA ignore_check_constraints = ON",
        f"INSERT INTO head VALUES (2, {COUNT + 1_000}, (SELECT hash FROM head))",
    )
    assert_breaks(path, COUNT + 1, f"event_id should be {COUNT + 1}, got none")


def _lead_astray(path: Path, table: str) -> int:
    """Let an inner page of a table's tree say that some rows are on the page after theirs; returns the first of them.

    The page and its cells are as in https://www.sqlite.org/fileformat2.html, "B-tree Pages".
    """
    with closing(sqlite3.connect(path)) as connection:
        page_bytes = int(connection.execute("PRAGMA page_size").fetchone()[0])
        root = int(connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()[0])
    file = bytearray(path.read_bytes())
    page = (root - 1) * page_bytes
    assert file[page] == 5  # an inner page of a table, and those below it are leaves
    cells = int.from_bytes(file[page + 3 : page + 5], "big")
    pointer = page + 12 + 2 * (cells // 2)
    key = page + int.from_bytes(file[pointer : pointer + 2], "big") + 4
    assert file[key] & 0x80  # a number of two bytes
    assert not file[key + 1] & 0x80
    last_of_page = (file[key] & 0x7F) << 7 | file[key + 1]
    wrong = last_of_page - 3
    file[key : key + 2] = bytes([0x80 | wrong >> 7, wrong & 0x7F])
    path.write_bytes(file)
    return wrong + 1


def test_events_that_are_there_but_not_found_by_their_id_break_the_chain(original: Path, tmp_path: Path) -> None:
    path = copy(original, tmp_path)
    hidden = _lead_astray(path, "events")
    with closing(sqlite3.connect(path)) as connection:
        ids = connection.execute("SELECT event_id FROM events WHERE event_id >= ?", (hidden,)).fetchmany(2)
        assert connection.execute("SELECT count(*) FROM events NOT INDEXED").fetchone() == (COUNT,)
    assert ids == [(hidden + 3,), (hidden + 4,)]  # what this hides from a reader's page
    assert_breaks(path, hidden, f"event #{hidden} is not found by its id")


def test_a_kind_and_source_that_is_not_found_by_its_id_is_found(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    count = 600
    build(path, [event(number, source=f"source-{number}") for number in range(count)])
    _lead_astray(path, "series")
    assert_breaks(path, count, "a kind and source is not found by its id")
