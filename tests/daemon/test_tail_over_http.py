"""The streams of a real daemon: nothing lost, nothing repeated, whoever reads how slowly and resumes wherever."""

from __future__ import annotations

import json
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.daemon.http.producer import appending
from tests.daemon.http.sse import Follower, event_of, following, ids
from tests.daemon.http.wire import DEADLINE_S, connected, exchange, request
from tests.daemon_process import DaemonProcess, start_daemon

TARGETS = ["/stream", "/events/stream"]


def append(client: httpx.Client, count: int = 1, *, size: int = 0, **fields: Any) -> int:
    """So many events in one batch; the id of the last."""
    event = {"kind": "other", "source": "s", "payload": {"padding": "x" * size}} | fields
    receipt = client.post("/events/batch", json=[event] * count).raise_for_status().json()
    last_id: int = receipt["last_event_id"]
    return last_id


def stats(port: int) -> Any:
    return exchange(port, request("GET", "/stats")).json()


def wait_for_subscribers(port: int, count: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while stats(port)["subscribers"] != count:
        assert time.monotonic() < deadline, f"{stats(port)['subscribers']} subscribers, not {count}"


@pytest.mark.parametrize("target", TARGETS)
def test_headers_come_at_once_and_keep_proxies_from_holding_events_back(daemon: DaemonProcess, target: str) -> None:
    with following(daemon.port, target) as follower:
        assert follower.status == 200
        assert follower.headers["content-type"].startswith("text/event-stream")
        assert follower.headers["cache-control"] == "no-cache"
        assert follower.headers["x-accel-buffering"] == "no"


@pytest.mark.parametrize("target", TARGETS)
def test_a_new_reader_gets_no_history(daemon: DaemonProcess, client: httpx.Client, target: str) -> None:
    append(client, 3)
    with following(daemon.port, target) as follower:
        last_id = append(client)
        assert ids(follower.read_until(last_id)) == [last_id]


def test_a_message_is_named_by_its_kind_and_carries_the_event_as_it_is_served(
    daemon: DaemonProcess, client: httpx.Client
) -> None:
    with following(daemon.port) as follower:
        served = client.post("/events", json={"kind": "watch_drifted", "source": "s", "payload": {"é": "\u2028"}})
        [message] = follower.read_until(served.json()["event_id"])
    assert message.event == "watch_drifted"
    assert message.data.encode() == served.content


def test_the_unnamed_stream_has_no_event_lines(daemon: DaemonProcess, client: httpx.Client) -> None:
    with following(daemon.port, "/events/stream") as follower:
        messages = follower.read_until(append(client, 3))
    assert [message.event for message in messages] == ["", "", ""]
    assert b"event:" not in follower.raw


def test_the_unnamed_stream_begins_with_an_id_and_no_data(daemon: DaemonProcess, client: httpx.Client) -> None:
    """So that a browser that is cut off before its first event resumes from there."""
    head_id = append(client)
    with following(daemon.port, "/events/stream") as follower:
        follower.read_comment()
        first_block = follower.raw.split(b"\n\n")[0].splitlines()
    assert b"id: %d" % head_id in first_block
    assert not any(line.startswith((b"data", b"event")) for line in first_block)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("how", ["Last-Event-ID", "since_id"])
def test_a_reader_resumes_after_the_event_that_it_names(
    daemon: DaemonProcess, client: httpx.Client, target: str, how: str
) -> None:
    first, last = append(client), append(client, 5)
    headers = {"Last-Event-ID": str(first)} if how == "Last-Event-ID" else {}
    query = f"?since_id={first}" if how == "since_id" else ""
    with following(daemon.port, target + query, headers) as follower:
        assert ids(follower.read_until(last)) == list(range(first + 1, last + 1))
        more = append(client)
        assert ids(follower.read_until(more)) == [more]


def test_a_last_event_id_counts_more_than_since_id(daemon: DaemonProcess, client: httpx.Client) -> None:
    """A browser repeats the address with which it began, and adds how far it has come."""
    last = append(client, 10)
    with following(daemon.port, f"/stream?since_id={last - 10}", {"Last-Event-ID": str(last - 2)}) as follower:
        assert ids(follower.read_until(last)) == [last - 1, last]


@pytest.mark.parametrize("how", ["Last-Event-ID", "since_id"])
def test_cursor_0_is_the_whole_log(daemon: DaemonProcess, client: httpx.Client, how: str) -> None:
    last = append(client, 3)
    headers = {"Last-Event-ID": "0"} if how == "Last-Event-ID" else {}
    with following(daemon.port, "/stream" + ("?since_id=0" if how == "since_id" else ""), headers) as follower:
        assert ids(follower.read_until(last)) == list(range(1, last + 1))


@pytest.mark.parametrize("value", ["", "abc", "-1", "1.5", "9" * 30, "1,2", "\u00e9", "9223372036854775808"])
@pytest.mark.parametrize("target", TARGETS)
def test_a_last_event_id_that_is_none_of_ours_begins_live(
    daemon: DaemonProcess, client: httpx.Client, target: str, value: str
) -> None:
    """An error status would end a browser's EventSource for good."""
    with following(daemon.port, target, {"Last-Event-ID": value}) as follower:
        last = append(client)
        assert ids(follower.read_until(last)) == [last]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("how", ["Last-Event-ID", "since_id"])
def test_a_cursor_beyond_the_head_is_told_so_and_goes_on_live(
    daemon: DaemonProcess, client: httpx.Client, target: str, how: str
) -> None:
    head = append(client)
    headers = {"Last-Event-ID": str(head + 1000)} if how == "Last-Event-ID" else {}
    query = f"?since_id={head + 1000}" if how == "since_id" else ""
    with following(daemon.port, target + query, headers) as follower:
        assert "another history" in follower.read_comment()
        last = append(client, 2)
        assert ids(follower.read_until(last)) == [last - 1, last]


@pytest.mark.parametrize("how", ["Last-Event-ID", "since_id"])
def test_resuming_again_and_again_leaves_no_gap_and_repeats_nothing(tmp_path: Path, how: str) -> None:
    """While a producer appends at full speed."""
    seen: list[int] = []
    with start_daemon(tmp_path / "audit.db") as daemon, appending(daemon.url, batch=50):
        for round_ in range(1, 41):
            cursor = seen[-1] if seen else 0
            headers = {"Last-Event-ID": str(cursor)} if how == "Last-Event-ID" else {}
            query = f"?since_id={cursor}" if how == "since_id" else ""
            with following(daemon.port, TARGETS[round_ % 2] + query, headers) as follower:
                seen += ids(follower.read_until(cursor + 97))
    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) >= 40 * 97


def test_a_reader_that_stops_reading_gets_every_event_and_slows_nobody(tmp_path: Path) -> None:
    with (
        start_daemon(tmp_path / "audit.db") as daemon,
        httpx.Client(base_url=daemon.url, timeout=20) as client,
        following(daemon.port, receive_buffer=4096) as slow,
        following(daemon.port) as fast,
    ):
        for first in range(1, 10_000, 1_000):  # 5 MB: more than all buffers on the way hold
            append(client, 1_000, size=300)
            assert ids(fast.read_until(first + 999)) == list(range(first, first + 1_000))
        assert ids(slow.read_until(10_000)) == list(range(1, 10_001))
        append(client)
        assert (ids(slow.read_until(10_001)), ids(fast.read_until(10_001))) == ([10_001], [10_001])
        assert slow.raw == fast.raw


def test_a_reader_that_fell_out_of_the_ring_gets_every_event_and_comes_back_live(tmp_path: Path) -> None:
    with (
        start_daemon(tmp_path / "audit.db") as daemon,
        httpx.Client(base_url=daemon.url, timeout=20) as client,
        following(daemon.port, receive_buffer=4096) as slow,
    ):
        for _ in range(4):  # twice what the ring holds
            append(client, 10_000, size=300)
        assert ids(slow.read_until(40_000)) == list(range(1, 40_001))
        for _ in range(3):
            last = append(client)
            assert ids(slow.read_until(last)) == [last]


def test_a_reader_of_all_history_reads_as_others_append(tmp_path: Path) -> None:
    with start_daemon(tmp_path / "audit.db") as daemon, httpx.Client(base_url=daemon.url, timeout=20) as client:
        for _ in range(3):
            append(client, 10_000)
        with appending(daemon.url), following(daemon.port, "/stream?since_id=0") as follower:
            last = stats(daemon.port)["last_event_id"] + 500
            messages = follower.read_until(last)
    assert ids(messages) == list(range(1, messages[-1].id + 1))


def test_a_reader_far_behind_that_reads_nothing_costs_no_memory(tmp_path: Path) -> None:
    with start_daemon(tmp_path / "audit.db") as daemon, httpx.Client(base_url=daemon.url, timeout=20) as client:
        for _ in range(8):  # 40 MB of events, of which the ring holds 24
            append(client, 10_000, size=400)
        before = _resident_bytes(daemon)
        with ExitStack() as stack:
            for _ in range(20):
                stack.enter_context(following(daemon.port, "/stream?since_id=0", receive_buffer=4096))
            assert exchange(daemon.port, request("GET", "/healthz")).status == 200
            assert _resident_bytes(daemon) < before + (100 << 20)  # all that they have not read would be 1 GB


def _resident_bytes(daemon: DaemonProcess) -> int:
    try:
        status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    except FileNotFoundError:
        pytest.skip("only Linux tells how much memory another process uses")
    return int(status.partition("VmRSS:")[2].split()[0]) << 10


def test_history_is_streamed_in_the_same_bytes_as_it_was_live(tmp_path: Path) -> None:
    database = tmp_path / "audit.db"
    with start_daemon(database) as daemon, httpx.Client(base_url=daemon.url) as client, following(daemon.port) as live:
        for kind in ("request_denied", "other", "flag_swapped"):
            append(client, 20, kind=kind)
        live.read_until(60)
    with start_daemon(database) as daemon, following(daemon.port, "/stream?since_id=0") as history:
        history.read_until(60)
    assert history.raw == live.raw


FILTERS: dict[str, tuple[dict[str, str | list[str]], list[int]]] = {
    "kind": ({"kind": "request_denied"}, [1, 4, 7, 10]),
    "kinds": ({"kind": ["request_denied", "other"]}, [1, 2, 4, 5, 7, 8, 10, 11]),
    "source": ({"source": "a"}, [1, 3, 5, 7, 9, 11]),
    "kind and source": ({"kind": "request_denied", "source": "b"}, [4, 10]),
    "q": ({"q": "payload.number:>9 -kind:other"}, [10, 12]),
    "q and kind": ({"q": "payload.number:>5", "kind": "other"}, [8, 11]),
    "free text": ({"q": '"number 1"'}, [1, 10, 11, 12]),
    "since": ({"since": "2026-05-15T00:10:00Z"}, [10, 11, 12]),
    "until": ({"until": "2026-05-15T00:02:00Z"}, [1, 2]),
    "since in q": ({"q": "since:2026-05-15T00:10:00Z"}, [10, 11, 12]),
}


@pytest.fixture(scope="module")
def selected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list[int]]]:
    """What each filter selects: from a live stream, from the ring, from history after a restart, and from a query."""
    database = tmp_path_factory.mktemp("filters") / "audit.db"
    queries = {name: str(httpx.QueryParams(parameters)) for name, (parameters, _) in FILTERS.items()}
    found: dict[str, dict[str, list[int]]] = {name: {} for name in FILTERS}
    with start_daemon(database) as daemon, ExitStack() as stack:
        live = {name: stack.enter_context(following(daemon.port, f"/stream?{queries[name]}")) for name in FILTERS}
        for number in range(1, 13):
            event = {
                "kind": ("flag_swapped", "request_denied", "other")[number % 3],
                "source": "ba"[number % 2],
                "payload": {"number": number, "text": f"number {number}"},
                "timestamp": f"2026-05-15T00:{number:02}:00Z",
            }
            httpx.post(f"{daemon.url}/events", json=event).raise_for_status()
        for name, (_, expected) in FILTERS.items():
            found[name]["live"] = ids(live[name].read_until(expected[-1]))
            with following(daemon.port, f"/stream?since_id=0&{queries[name]}") as ring:
                found[name]["ring"] = ids(ring.read_until(expected[-1]))
    with start_daemon(database) as daemon:
        for name, (_, expected) in FILTERS.items():
            with following(daemon.port, f"/stream?since_id=0&{queries[name]}") as history:
                found[name]["history"] = ids(history.read_until(expected[-1]))
            events = exchange(daemon.port, request("GET", f"/events?{queries[name]}")).json()
            found[name]["query"] = [event["event_id"] for event in events]
    return found


@pytest.mark.parametrize("where", ["live", "ring", "history", "query"])
@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_selects_the_same_everywhere(selected: dict[str, dict[str, list[int]]], name: str, where: str) -> None:
    assert selected[name][where] == FILTERS[name][1]


@pytest.mark.parametrize("wanted", ["since=2026-05-15T00:02:00%2B00:00", "q=since:2026-05-15T00:02:00Z"])
def test_since_alone_begins_in_history(tmp_path: Path, wanted: str) -> None:
    with start_daemon(tmp_path / "audit.db") as daemon, httpx.Client(base_url=daemon.url) as client:
        for minute in (1, 2, 3):
            append(client, timestamp=f"2026-05-15T00:0{minute}:00Z")
        with following(daemon.port, f"/stream?{wanted}") as follower:
            assert ids(follower.read_until(3)) == [2, 3]


@pytest.mark.parametrize("target", TARGETS)
def test_50_readers_get_identical_bytes(daemon: DaemonProcess, client: httpx.Client, target: str) -> None:
    with ExitStack() as stack:
        followers = [stack.enter_context(following(daemon.port, target)) for _ in range(50)]
        first = append(client)
        for _ in range(5):
            append(client, 100)
        for follower in followers:
            assert len(follower.read_until(first + 500)) == 501
        assert len({follower.raw for follower in followers}) == 1


@pytest.mark.parametrize("how", ["RST", "FIN"])
def test_a_reader_that_vanished_is_freed(daemon: DaemonProcess, how: str) -> None:
    wait_for_subscribers(daemon.port, 0)
    with ExitStack() as stack:
        followers = [stack.enter_context(following(daemon.port)) for _ in range(10)]
        wait_for_subscribers(daemon.port, 10)
        for follower in followers:
            if how == "RST":
                follower.reset()
            else:
                follower.connection.close()
        wait_for_subscribers(daemon.port, 0)


def test_a_reader_that_vanished_with_much_unread_is_freed(daemon: DaemonProcess, client: httpx.Client) -> None:
    wait_for_subscribers(daemon.port, 0)
    with following(daemon.port, receive_buffer=4096) as follower:
        for _ in range(2):
            append(client, 10_000, size=300)
        follower.reset()
        wait_for_subscribers(daemon.port, 0)


def test_a_reader_that_vanishes_before_its_headers_is_freed(daemon: DaemonProcess) -> None:
    for _ in range(20):
        with connected(daemon.port) as connection:
            connection.sendall(request("GET", "/stream"))
    wait_for_subscribers(daemon.port, 0)


def test_stopping_ends_streams_properly_after_the_last_committed_event(tmp_path: Path) -> None:
    database = tmp_path / "audit.db"
    with start_daemon(database) as daemon, ExitStack() as stack:
        followers: list[Follower] = [stack.enter_context(following(daemon.port, target)) for target in TARGETS * 2]
        with suppress(httpx.HTTPError), appending(daemon.url):  # its producer is cut off
            followers[0].read_until(200)
            # They read meanwhile: what a reader has not taken a second after the stop is not kept for it.
            reading = stack.enter_context(ThreadPoolExecutor(len(followers)))
            rests = [reading.submit(follower.rest) for follower in followers]
            assert daemon.stop() == 0
        streamed = [ids(rest.result()) for rest in rests]
    with closing(sqlite3.connect(database)) as stored:
        [(head,)] = stored.execute("SELECT max(event_id) FROM events")
    assert [seen[-1] for seen in streamed] == [head] * 4
    assert streamed[1] == list(range(1, head + 1))


def test_a_stopped_daemon_takes_no_new_readers(tmp_path: Path) -> None:
    with start_daemon(tmp_path / "audit.db") as daemon:
        assert daemon.stop() == 0
        with pytest.raises(ConnectionError), following(daemon.port):
            pass


def test_the_chain_can_be_checked_from_the_stream_alone(daemon: DaemonProcess, client: httpx.Client) -> None:
    last = append(client, 5)
    with following(daemon.port, "/stream?since_id=0") as follower:
        events = [event_of(message) for message in follower.read_until(last)]
    assert [event["prev_hash"] for event in events] == ["0" * 64, *(event["hash"] for event in events[:-1])]
    assert events == json.loads(client.get("/events?limit=100000").content)
