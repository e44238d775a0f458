"""What holds for every filter and every event."""

import sqlite3
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from audit_stream.canonical import canonical_bytes
from audit_stream.event import Event
from audit_stream.filters import Filter, FilterError, matches, parse, plan, register
from audit_stream.timestamps import format_rfc3339_ms, parse_rfc3339_ms

NOW_MS = 1_780_000_000_000

on_a_loaded_machine = settings(deadline=None)  # the first example also imports lark

# Few and alike, so that filters hit and miss about as often. Among the strings: characters that fold to ASCII letters,
# that JSON escapes, that SQL's LIKE or the filter language itself would take for something else.
KINDS = ["request_denied", "request_allowed", "watch_drifted", "slo_burn_started", "not_registered"]
SOURCES = ["policy-as-code-engine", "slo-budget-tracker", "urn:x/y@z", "K"]
KEYS = ["a", "b", "a.b", "", "é", "K", "x y", "a*", "\x7f", '"']
STRINGS = [*"aAksé*%_^", "", "ab", "STRASSE", "Straße", "fi", "É", "😀", "-a", "a*b", "axb", "a,b", "a:b", ">2"]
STRINGS += ["5", "5.0", "true", "null", '"', "\\", "\\u", "\n", "\x00", "\x7f", "\u212a", "\u017f", "\ufb01"]
NUMBERS = [0, 5, 5.0, -0.0, -1, 2, 2.5, 2**53, 2**53 + 1, float(2**53), 2**63, 10**30, 1e22, 1e-7, 1]
TIMESTAMPS = [format_rfc3339_ms(NOW_MS - ago_ms) for ago_ms in (0, 1, 59_999, 60_000, 60_001, 86_400_000)]
TIMESTAMPS += ["2026-05-28T22:26:40+02:00", "0001-01-01T00:00:00Z", "yesterday", ""]

any_text = st.text(st.characters(), max_size=60)
fragments = [*'ab-*:,."\\ \t>=<05kK_é', "kind:", "payload.", "since:", "id:", "15m", "source", "severity:"]
language_text = st.lists(st.sampled_from(fragments)).map("".join)

strings = st.sampled_from(STRINGS) | st.text(max_size=3)
scalars = strings | st.sampled_from(NUMBERS) | st.booleans() | st.none() | st.integers() | st.floats(allow_nan=False)
finite_scalars = scalars.filter(lambda value: value not in (float("inf"), float("-inf")))
payloads = st.dictionaries(
    st.sampled_from(KEYS),
    st.recursive(
        finite_scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)


@st.composite
def events(draw: st.DrawFn, event_id: int = 1) -> Event:
    return Event(
        event_id=event_id,
        timestamp=draw(st.sampled_from(TIMESTAMPS)),
        kind=draw(st.sampled_from(KINDS)),
        source=draw(st.sampled_from(SOURCES)),
        payload=draw(payloads),
        prev_hash="0" * 64,
        hash="0" * 64,
    )


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


globs = st.lists(strings.map(quoted), min_size=1, max_size=3).map("*".join) | strings.map(lambda s: quoted(s) + "*")
number_literals = st.sampled_from(NUMBERS).map(repr)
operators = st.sampled_from([">", ">=", "<", "<=", "="])
comparisons = st.builds("{}{}".format, operators, number_literals)
payload_values = globs | number_literals | comparisons | st.sampled_from(["true", "false", "null", "*", "a*", "5"])
paths = st.lists(st.sampled_from(KEYS).map(quoted), min_size=1, max_size=2).map(".".join)
ids = st.integers(0, 6)
id_values = ids.map(str) | st.builds("{}{}".format, operators, ids) | st.builds("{}..6".format, ids)
moments = st.sampled_from(["0s", "1m", "60s", "1d", *filter(lambda text: "T" in text, TIMESTAMPS)])
severity_values = st.builds(
    "{}{}".format, operators | st.just(""), st.sampled_from(["info", "notice", "warning", "critical"])
)


def field(name: st.SearchStrategy[str], values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds("{}:{}".format, name, st.lists(values, min_size=1, max_size=3).map(",".join))


terms = st.one_of(
    field(st.just("kind"), st.sampled_from([*KINDS, "request_*", "*_d*", "*"])),
    field(st.just("source"), st.sampled_from([*SOURCES, "*-*", "urn:*"])),
    field(st.just("severity"), severity_values),
    field(st.just("id"), id_values),
    field(st.sampled_from(["since", "until"]), moments),
    field(paths.map("payload.{}".format), payload_values),
    st.lists(
        strings.filter(bool).map(quoted) | st.sampled_from(["a*b", "s*s", "polic*eng"]), min_size=1, max_size=2
    ).map(",".join),
)
filter_texts = st.lists(st.builds("{}{}".format, st.sampled_from(["", "-"]), terms), max_size=4).map(" ".join)


def parsed_or_error(text: str) -> Filter | FilterError:
    try:
        return parse(text, now_ms=NOW_MS)
    except FilterError as error:
        return error


@on_a_loaded_machine
@given(any_text | language_text | filter_texts)
@example("\ud800")
@example("payload." + "a." * 2000 + "a:1")
@example("-" * 100)
@example('"' * 99)
@example("a" * 4097)
@example("since:" + "9" * 4000 + "d")
@example("since:9999-12-31T23:59:60Z")
@example("until:0001-01-01T00:00:00+14:00")
@example("id:>999999999999999999,<0")
@example("payload.x:" + "9" * 4000)
@example("ΐ" * 4000)
def test_any_text_parses_to_a_filter_that_its_canonical_text_parses_to_again_or_raises_filter_error(text: str) -> None:
    parsed = parsed_or_error(text)
    if isinstance(parsed, FilterError):
        assert 0 <= parsed.position <= parsed.position + parsed.length <= len(text)
        assert parsed.message
        return
    again = parse(str(parsed), now_ms=0)
    assert again == parsed
    assert hash(again) == hash(parsed)
    assert str(again) == str(parsed)


@on_a_loaded_machine
@given(filter_texts)
def test_every_text_built_by_the_rules_parses(text: str) -> None:
    assert isinstance(parse(text, now_ms=NOW_MS), Filter)


@on_a_loaded_machine
@given(terms, events())
def test_a_negated_term_matches_exactly_what_the_term_does_not(term: str, event: Event) -> None:
    assert matches(parse(f"-{term}", now_ms=NOW_MS), event) is not matches(parse(term, now_ms=NOW_MS), event)


@on_a_loaded_machine
@given(terms, terms, events())
def test_terms_side_by_side_match_what_both_match(one: str, other: str, event: Event) -> None:
    both = matches(parse(f"{one} {other}", now_ms=NOW_MS), event)
    assert both is (matches(parse(one, now_ms=NOW_MS), event) and matches(parse(other, now_ms=NOW_MS), event))


def time_ms(timestamp: str) -> int | None:
    try:
        return parse_rfc3339_ms(timestamp)
    except ValueError:
        return None


class Table:
    """A store's table and its registry of series."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:")
        self.connection.execute(
            "CREATE TABLE events (event_id INTEGER PRIMARY KEY, series_id INTEGER, time_ms INTEGER, canonical BLOB)"
        )
        register(self.connection)
        self.series: list[tuple[str, str]] = []

    def fill(self, stored: list[Event]) -> None:
        self.connection.execute("DELETE FROM events")
        self.series = sorted({(event.kind, event.source) for event in stored})
        for event in stored:
            series_id = self.series.index((event.kind, event.source))
            canonical = canonical_bytes({name: getattr(event, name) for name in event.__struct_fields__})
            row = (event.event_id, series_id, time_ms(event.timestamp), canonical)
            self.connection.execute("INSERT INTO events VALUES (?, ?, ?, ?)", row)

    def ids(self, filter_: Filter) -> list[int]:
        """What a store answers that knows the filter by its plan alone."""
        parts = plan(filter_)
        conditions, params = ["1"], list[Any]()
        if not parts.all_series:
            wanted = [str(i) for i, series in enumerate(self.series) if parts.series_matches(*series)]
            conditions.append(f"series_id IN ({','.join(wanted)})")
        bounds = [("time_ms >=", parts.since_ms), ("time_ms <=", parts.until_ms)]
        bounds += [("event_id >=", parts.min_id), ("event_id <=", parts.max_id)]
        for comparison, bound in bounds:
            if bound is not None:
                conditions.append(f"{comparison} ?")
                params.append(bound)
        if parts.where:
            conditions.append(parts.where)
            params.extend(parts.params)
        sql = f"SELECT event_id FROM events WHERE {' AND '.join(conditions)} ORDER BY event_id"
        return [event_id for (event_id,) in self.connection.execute(sql, params)]


@pytest.fixture(scope="module")
def table() -> Iterator[Table]:
    opened = Table()
    yield opened
    opened.connection.close()


@settings(on_a_loaded_machine, max_examples=600)
@given(text=filter_texts, stored=st.tuples(*(events(event_id=n) for n in range(1, 6))))
def test_sqlite_answers_a_plan_with_the_events_that_match(table: Table, text: str, stored: tuple[Event, ...]) -> None:
    filter_ = parse(text, now_ms=NOW_MS)
    table.fill(list(stored))
    assert table.ids(filter_) == [event.event_id for event in stored if matches(filter_, event)]


@settings(on_a_loaded_machine, max_examples=300)
@given(data=st.data(), event=events())
def test_sqlite_finds_an_event_by_any_string_it_holds_in_any_case(
    table: Table, data: st.DataObject, event: Event
) -> None:
    held = data.draw(st.sampled_from([event.kind, event.source, *filter(None, strings_of(event.payload))]))
    change = data.draw(st.sampled_from([str.casefold, str.upper, str.lower, str.swapcase]))
    filter_ = parse(quoted(change(held)), now_ms=NOW_MS)
    table.fill([event])
    assert table.ids(filter_) == ([1] if matches(filter_, event) else [])
    assert matches(parse(quoted(held), now_ms=NOW_MS), event)


@on_a_loaded_machine
@given(data=st.data(), stored=events(), key=st.sampled_from(KEYS), value=strings)
def test_sqlite_finds_an_event_by_any_glob_made_of_a_string_it_holds(
    table: Table, data: st.DataObject, stored: Event, key: str, value: str
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(value)), min_size=2, max_size=4)))
    kept = [value[: cuts[0]], *(value[a:b] for a, b in zip(cuts[1::2], cuts[2::2], strict=False)), value[cuts[-1] :]]
    filter_ = parse(f"payload.{quoted(key)}:{'*'.join(map(quoted, kept))}", now_ms=NOW_MS)
    holding = msgspec.structs.replace(stored, payload=stored.payload | {key: [value]})
    assert matches(filter_, holding)
    table.fill([holding])
    assert table.ids(filter_) == [1]


def strings_of(node: object) -> list[str]:
    if isinstance(node, dict):
        return [text for key, value in node.items() for text in [key, *strings_of(value)]]
    if isinstance(node, list):
        return [text for element in node for text in strings_of(element)]
    return [node] if isinstance(node, str) else []
