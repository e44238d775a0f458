"""GET /events and what belongs to it, against a plain-Python model of the log."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.daemon.http.producer import appending
from tests.daemon.http.wire import AnswerReader, connected, exchange, request
from tests.daemon_process import DaemonProcess, start_daemon

KINDS = ["request_denied", "request_allowed", "other", "slo_burn_started"]
SOURCES = ["policy-as-code-engine", "slo-budget-tracker", "a/b:c@d"]
START = datetime(2026, 5, 15, tzinfo=UTC)
COUNT = 600

Events = list[dict[str, Any]]


def draft(number: int) -> dict[str, Any]:
    return {
        "kind": KINDS[number % 4],
        "source": SOURCES[number % 3],
        "payload": {"number": number, "text": f"Straße {number}", "burn_rate": number / 10},
        "timestamp": (START + timedelta(minutes=number)).isoformat(),
    }


@pytest.fixture(scope="module")
def queried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    with start_daemon(tmp_path_factory.mktemp("queries") / "audit.db") as daemon:
        drafts = [draft(number) for number in range(1, COUNT + 1)]
        httpx.post(f"{daemon.url}/events/batch", json=drafts).raise_for_status()
        yield daemon


@pytest.fixture(scope="module")
def log(queried: DaemonProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=queried.url, timeout=20) as client:
        yield client


@pytest.fixture(scope="module")
def everything(log: httpx.Client) -> Events:
    return [log.get(f"/events/{event_id}").json() for event_id in range(1, COUNT + 1)]


def ids(answer: httpx.Response) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [event["event_id"] for event in answer.json()]


def ids_where(**fields: tuple[str, ...]) -> list[int]:
    return [
        number
        for number in range(1, COUNT + 1)
        if all(draft(number)[name] in wanted for name, wanted in fields.items())
    ]


def walk(client: httpx.Client, target: str) -> Iterator[httpx.Response]:
    """The pages of an answer, by its `Link: rel="next"`."""
    while True:
        page = client.get(target)
        yield page
        if "next" not in page.links:
            return
        target = page.links["next"]["url"]


def test_all_events_come_oldest_first_as_they_are_fetched_one_by_one(log: httpx.Client, everything: Events) -> None:
    assert log.get("/events").json() == everything


def test_limit_takes_the_most_recent_oldest_first(log: httpx.Client) -> None:
    assert ids(log.get("/events?limit=3")) == [COUNT - 2, COUNT - 1, COUNT]


def test_order_desc_takes_the_most_recent_newest_first(log: httpx.Client) -> None:
    assert ids(log.get("/events?limit=3&order=desc")) == [COUNT, COUNT - 1, COUNT - 2]


def test_the_largest_limit_is_taken(log: httpx.Client) -> None:
    assert len(ids(log.get("/events?limit=100000"))) == COUNT


def test_a_kind_selects(log: httpx.Client) -> None:
    assert ids(log.get("/events?kind=other")) == ids_where(kind=("other",))


def test_kinds_are_alternatives(log: httpx.Client) -> None:
    assert ids(log.get("/events?kind=other&kind=request_denied")) == ids_where(kind=("other", "request_denied"))


def test_a_source_selects(log: httpx.Client) -> None:
    assert ids(log.get("/events", params={"source": "a/b:c@d"})) == ids_where(source=("a/b:c@d",))


def test_sources_are_alternatives(log: httpx.Client) -> None:
    answer = log.get("/events", params={"source": [SOURCES[0], SOURCES[1]]})
    assert ids(answer) == ids_where(source=(SOURCES[0], SOURCES[1]))


def test_kinds_and_sources_apply_both(log: httpx.Client) -> None:
    answer = log.get("/events", params={"kind": KINDS[:2], "source": SOURCES[:2]})
    assert ids(answer) == ids_where(kind=tuple(KINDS[:2]), source=tuple(SOURCES[:2]))


@pytest.mark.parametrize(
    "query", ["source=nobody", "kind=flag_swapped", "since_id=600", "before_id=1", "q=nothing-like-it"]
)
def test_nothing_found_is_an_empty_array(log: httpx.Client, query: str) -> None:
    answer = log.get(f"/events?{query}")
    assert (answer.status_code, answer.content) == (200, b"[]")
    assert "link" not in answer.headers


def test_since_id_reads_on_after_an_event(log: httpx.Client) -> None:
    assert ids(log.get("/events?since_id=10&limit=3")) == [11, 12, 13]


def test_before_id_reads_what_precedes_an_event(log: httpx.Client) -> None:
    assert ids(log.get("/events?before_id=10&limit=3")) == [7, 8, 9]


def test_since_id_and_before_id_enclose(log: httpx.Client) -> None:
    assert ids(log.get("/events?since_id=10&before_id=13")) == [11, 12]


def test_the_largest_ids_are_taken(log: httpx.Client) -> None:
    assert ids(log.get("/events?since_id=9223372036854775807")) == []
    assert len(ids(log.get("/events?before_id=9223372036854775807"))) == COUNT


def test_since_and_until_enclose_with_both_ends(log: httpx.Client) -> None:
    window = {"since": "2026-05-15T01:00:00Z", "until": "2026-05-15T01:02:00Z"}
    assert ids(log.get("/events", params=window)) == [60, 61, 62]


@pytest.mark.parametrize(
    "instant",
    [
        "2026-05-15T09:59:00Z",
        "2026-05-15t09:59:00z",
        "2026-05-15T09:59:00.000Z",
        "2026-05-15T09:59:00%2B00:00",
        "2026-05-15T09:59:00+00:00",  # not percent-encoded: a space by the rules of forms, but nobody means one
        "2026-05-15T11:59:00+02:00",
        "2026-05-15T04:59:00-05:00",
    ],
)
def test_an_instant_is_the_same_in_every_spelling(log: httpx.Client, instant: str) -> None:
    assert ids(log.get(f"/events?since={instant}")) == [599, 600]


def test_a_bound_between_two_milliseconds_rounds_down(log: httpx.Client) -> None:
    assert ids(log.get("/events?until=2026-05-15T00:01:00.0009Z")) == [1]


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ("kind:request_*", ids_where(kind=("request_denied", "request_allowed"))),
        ("-kind:request_*", ids_where(kind=("other", "slo_burn_started"))),
        ("source:policy-*", ids_where(source=("policy-as-code-engine",))),
        ("payload.number:>=598", [598, 599, 600]),
        ("payload.burn_rate:<0.35", [1, 2, 3]),
        ('"straße 42"', [42, *range(420, 430)]),
        ("since:2026-05-15T09:59:00Z", [599, 600]),
        ("severity:critical payload.number:<10", [3, 7]),
        ("id:5..7", [5, 6, 7]),
    ],
)
def test_q_selects_in_the_filter_language(log: httpx.Client, q: str, expected: list[int]) -> None:
    assert ids(log.get("/events", params={"q": q})) == expected


def test_q_and_the_other_parameters_apply_together(log: httpx.Client) -> None:
    answer = log.get("/events", params={"q": "payload.number:>500", "kind": "other", "source": SOURCES[0], "limit": 2})
    assert ids(answer) == [number for number in ids_where(kind=("other",), source=(SOURCES[0],)) if number > 500][-2:]


def test_an_empty_q_selects_everything(log: httpx.Client) -> None:
    assert len(ids(log.get("/events?q=%20"))) == COUNT


@pytest.mark.parametrize(("q", "position"), [("kind:other kind:", 11), ('a "b', 2), ("payload.n:>x", 0)])
def test_a_mistake_in_q_is_told_with_its_position(log: httpx.Client, q: str, position: int) -> None:
    answer = log.get("/events", params={"q": q})
    assert answer.status_code == 400
    told = int(answer.json()["detail"].partition("position ")[2].partition(":")[0])
    assert position <= told <= len(q)


@pytest.mark.parametrize("limit", [1, 7, 599, 600])
def test_pages_forwards_give_each_event_once(log: httpx.Client, limit: int) -> None:
    if limit == 1:
        target = "/events?since_id=590&limit=1"
        assert [ids(page) for page in walk(log, target)] == [[number] for number in range(591, 601)]
    else:
        seen = [event_id for page in walk(log, f"/events?since_id=0&limit={limit}") for event_id in ids(page)]
        assert seen == list(range(1, COUNT + 1))


@pytest.mark.parametrize("limit", [7, 599, 600])
def test_pages_backwards_give_each_event_once(log: httpx.Client, limit: int) -> None:
    pages = [ids(page) for page in walk(log, f"/events?limit={limit}")]
    assert [event_id for page in reversed(pages) for event_id in page] == list(range(1, COUNT + 1))


def test_pages_newest_first_give_each_event_once(log: httpx.Client) -> None:
    seen = [event_id for page in walk(log, "/events?order=desc&limit=7") for event_id in ids(page)]
    assert seen == list(range(COUNT, 0, -1))


@pytest.mark.parametrize(
    "query",
    [
        "kind=other&kind=request_denied",
        "source=a/b:c@d&kind=other",
        "q=stra%C3%9Fe+-kind:other+payload.number:%3E5",
        "since=2026-05-15T01:00:00+00:00&until=2026-05-15T06:00:00Z",
        "since_id=100&before_id=500",
        "since_id=100&before_id=500&order=desc",
        "since=2026-05-15T01:00:00%2B00:00&q=id:%3E70&order=desc",
    ],
)
def test_pages_keep_the_query(log: httpx.Client, query: str) -> None:
    whole = ids(log.get(f"/events?{query}"))
    pages = [ids(page) for page in walk(log, f"/events?{query}&limit=17")]
    assert len(pages) == -(-len(whole) // 17)
    assert sorted(event_id for page in pages for event_id in page) == sorted(whole)


def test_the_last_page_has_no_link(log: httpx.Client) -> None:
    assert "link" not in log.get("/events?since_id=590&limit=10").headers
    assert "link" not in log.get("/events?before_id=4&limit=3").headers


def test_lines_are_sent_to_who_accepts_them(log: httpx.Client, everything: Events) -> None:
    answer = log.get("/events", headers={"Accept": "application/x-ndjson"})
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert answer.content.endswith(b"\n")
    assert [json.loads(line) for line in answer.content.splitlines()] == everything


def test_lines_of_nothing_are_an_empty_body(log: httpx.Client) -> None:
    answer = log.get("/events?source=nobody", headers={"Accept": "application/x-ndjson"})
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html", "", "application/json;q=0.5, */*;q=0.1"])
def test_an_array_is_sent_to_everybody_else(log: httpx.Client, accept: str) -> None:
    answer = log.get("/events?limit=2", headers={"Accept": accept})
    assert answer.headers["content-type"] == "application/json"
    assert ids(answer) == [599, 600]


def test_the_canonical_bytes_hash_to_the_events_hash(log: httpx.Client, everything: Events) -> None:
    for event in everything[:20]:
        answer = log.get(f"/events/{event['event_id']}/canonical")
        assert hashlib.sha256(answer.content).hexdigest() == event["hash"]
        assert answer.headers["etag"] == f'"{event["hash"]}"'


def test_an_event_is_its_canonical_bytes_with_the_hash_put_in(log: httpx.Client, everything: Events) -> None:
    canonical = log.get("/events/7/canonical").content
    assert log.get("/events/7").content == canonical[:-1] + b',"hash":"%b"}' % everything[6]["hash"].encode()


def test_each_event_links_to_the_one_before(everything: Events) -> None:
    assert everything[0]["prev_hash"] == "0" * 64
    assert [event["prev_hash"] for event in everything[1:]] == [event["hash"] for event in everything[:-1]]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """A log of 25,000 events: more than any answer that is sent in one piece."""
    with start_daemon(tmp_path_factory.mktemp("large") / "audit.db") as daemon:
        for first in range(0, 25_000, 5_000):
            batch = [{"kind": "other", "source": "s", "payload": {"n": first + number}} for number in range(5_000)]
            httpx.post(f"{daemon.url}/events/batch", json=batch, timeout=20).raise_for_status()
        yield daemon


@pytest.mark.parametrize("query", ["limit=100000", "limit=100000&order=desc", "limit=100000&since_id=0&source=s&q=s"])
def test_a_large_answer_is_streamed_and_complete(large: DaemonProcess, query: str) -> None:
    answer = exchange(large.port, request("GET", f"/events?{query}"))
    assert answer.headers["transfer-encoding"] == "chunked"
    numbers = [event["payload"]["n"] for event in answer.json()]
    assert numbers == sorted(range(25_000), reverse="desc" in query)


def test_a_large_answer_of_lines_is_streamed_and_complete(large: DaemonProcess) -> None:
    answer = exchange(large.port, request("GET", "/events?limit=100000", {"Accept": "application/x-ndjson"}))
    assert [json.loads(line)["event_id"] for line in answer.body.splitlines()] == list(range(1, 25_001))


def test_a_reader_that_hangs_up_in_a_large_answer_harms_nobody(large: DaemonProcess) -> None:
    for _ in range(5):
        with connected(large.port) as connection:
            connection.sendall(request("GET", "/events?limit=100000"))
            assert AnswerReader(connection).read_head()[0] == 200
    assert exchange(large.port, request("GET", "/stats")).json()["count"] == 25_000


@pytest.fixture
def growing(tmp_path: Path) -> Iterator[httpx.Client]:
    with start_daemon(tmp_path / "audit.db") as daemon, httpx.Client(base_url=daemon.url, timeout=20) as client:
        client.post("/events/batch", json=[draft(number) for number in range(1, COUNT + 1)]).raise_for_status()
        yield client


def test_pages_forwards_give_each_event_once_while_others_append(growing: httpx.Client) -> None:
    seen: list[int] = []
    with appending(str(growing.base_url)):
        for page in walk(growing, "/events?since_id=0&limit=50"):
            seen += ids(page)
            if len(seen) >= 3 * COUNT:
                break
    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) >= COUNT


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_backwards_give_each_event_once_while_others_append(growing: httpx.Client, order: str) -> None:
    with appending(str(growing.base_url)):
        pages = [ids(page) for page in walk(growing, f"/events?limit=37&order={order}")]
    seen = [event_id for page in pages for event_id in (page[::-1] if order == "asc" else page)]
    assert seen == list(range(seen[0], 0, -1))
    assert seen[0] >= COUNT


def test_a_large_answer_is_one_moment_of_the_log_while_others_append(growing: httpx.Client) -> None:
    with appending(str(growing.base_url)):
        while len(answer := ids(growing.get("/events?limit=100000"))) < 3 * COUNT:
            assert answer == list(range(1, len(answer) + 1))
    assert answer == list(range(1, len(answer) + 1))
