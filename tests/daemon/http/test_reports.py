"""What the daemon says of itself and of the chain, and of a chain that somebody has broken."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.daemon.http.sse import following
from tests.daemon_process import DaemonProcess, start_daemon

KINDS = ["request_denied", "other", "other"]
SOURCES = ["policy-as-code-engine", "a/b:c@d", "s"]


class Running:
    """A daemon with its file and a client."""

    def __init__(self, daemon: DaemonProcess, database: Path, client: httpx.Client) -> None:
        self.daemon = daemon
        self.database = database
        self.client = client

    def get(self, target: str) -> Any:
        return self.client.get(target).json()

    def post(self, number: int = 0) -> httpx.Response:
        event = {"kind": KINDS[number % 3], "source": SOURCES[number % 3], "payload": {"number": number}}
        return self.client.post("/events", json=event)

    def metrics(self) -> dict[str, Metric]:
        text = self.client.get("/metrics").raise_for_status().text
        return {family.name: family for family in text_string_to_metric_families(text)}

    def metric(self, name: str, **labels: str) -> float:
        return next(
            sample.value
            for family in self.metrics().values()
            for sample in family.samples
            if sample.name == f"audit_stream_{name}" and labels.items() <= sample.labels.items()
        )


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    database = tmp_path / "audit.db"
    with start_daemon(database) as daemon, httpx.Client(base_url=daemon.url, timeout=20) as client:
        yield Running(daemon, database, client)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A daemon that holds nine events; only for tests that leave it so."""
    database = tmp_path_factory.mktemp("reports") / "audit.db"
    with start_daemon(database) as daemon, httpx.Client(base_url=daemon.url, timeout=20) as client:
        filled = Running(daemon, database, client)
        for number in range(9):
            assert filled.post(number).status_code == 201
        yield filled


def tamper(database: Path, statement: str) -> None:
    """Change the file behind the daemon's back."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(statement)


BREAKS = {
    "a payload": (
        """UPDATE events SET canonical = CAST(replace(CAST(canonical AS TEXT), '"number":4', '"number":7') AS BLOB)
        WHERE event_id = 5""",
        5,
        "hash mismatch at event #5",
    ),
    "a hash": (
        "UPDATE events SET hash = (SELECT hash FROM events WHERE event_id = 2) WHERE event_id = 3",
        3,
        "hash mismatch at event #3",
    ),
    "a missing event": ("DELETE FROM events WHERE event_id = 4", 4, "event_id should be 4, got 5"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_chain_is_found_told_everywhere_and_goes_on_growing(running: Running, name: str) -> None:
    statement, first_break_at, reason = BREAKS[name]
    for number in range(9):
        running.post(number)
    assert running.get("/verify")["valid"] is True
    tamper(running.database, statement)

    verdict = running.client.get("/verify")
    assert verdict.status_code == 200  # a verdict, whichever it is: the request did not fail
    assert (verdict.json()["valid"], verdict.json()["first_break_at"]) == (False, first_break_at)
    assert verdict.json()["checked"] == first_break_at - 1
    assert verdict.json()["reason"] == reason

    ready = running.client.get("/readyz")
    assert ready.status_code == 503
    assert ready.json()["status"] == "unavailable"
    assert any(f"broken at event #{first_break_at}" in each for each in ready.json()["reasons"])
    assert running.client.get("/healthz").status_code == 200  # restarting it would not mend the chain
    assert running.metric("chain_valid") == 0
    assert running.get("/stats")["last_verdict"]["valid"] is False
    assert running.post().status_code == 201  # losing new evidence would be worse
    assert running.get("/stats")["last_event_id"] == 10


def test_a_retry_is_told_when_somebody_removed_the_event_that_its_key_stored(running: Running) -> None:
    event, key = {"kind": "other", "source": "s"}, {"Idempotency-Key": "once"}
    assert running.client.post("/events", json=event, headers=key).status_code == 201
    tamper(running.database, "DELETE FROM events")
    again = running.client.post("/events", json=event, headers=key)
    assert again.status_code == 503
    assert again.json()["detail"] == "event #1, which this key stored, is gone from the log"


def test_a_chain_that_holds_again_makes_the_daemon_ready_again(running: Running) -> None:
    running.post(1)
    change = "UPDATE events SET canonical = CAST(replace(CAST(canonical AS TEXT), '{}', '{}') AS BLOB)"
    tamper(running.database, change.format('"number":1', '"number":2'))
    assert running.get("/verify")["valid"] is False
    tamper(running.database, change.format('"number":2', '"number":1'))
    assert running.get("/verify")["valid"] is True
    assert running.client.get("/readyz").json() == {"status": "ok", "reasons": []}
    assert running.metric("chain_valid") == 1


def test_a_daemon_that_can_append_is_ready(filled: Running) -> None:
    answer = filled.client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "reasons": []})


def test_a_verdict_says_what_was_checked_and_when(filled: Running) -> None:
    verdict = filled.get("/verify")
    assert verdict["valid"] is True
    assert verdict["checked"] == 9
    assert verdict["first_break_at"] is None
    assert verdict["reason"] is None
    assert verdict["head"] == {"event_id": 9, "hash": filled.get("/stats")["latest_hash"]}
    assert verdict["duration_ms"] >= 0
    assert verdict["started_at"] <= verdict["verified_at"]


def test_an_empty_chain_is_valid(running: Running) -> None:
    verdict = running.get("/verify")
    assert (verdict["valid"], verdict["checked"], verdict["head"]["event_id"]) == (True, 0, 0)


def test_statistics_of_an_empty_log(running: Running) -> None:
    stats = running.get("/stats")
    assert (stats["count"], stats["last_event_id"], stats["latest_hash"]) == (0, 0, None)
    assert (stats["by_kind"], stats["by_source"], stats["last_verdict"]) == ({}, {}, None)


def test_statistics_count_by_kind_and_by_source(filled: Running) -> None:
    stats = filled.get("/stats")
    assert stats["count"] == stats["last_event_id"] == 9
    assert stats["latest_hash"] == filled.get("/events/9")["hash"]
    assert stats["by_kind"] == {"other": 6, "request_denied": 3}
    assert stats["by_source"] == dict.fromkeys(SOURCES, 3)


def test_statistics_tell_rates_sizes_and_the_queue(filled: Running) -> None:
    stats = filled.get("/stats")
    assert stats["rates_per_second"].keys() == {"1m", "5m", "1h"}
    assert all(rate > 0 for rate in stats["rates_per_second"].values())
    assert stats["database_bytes"] > 4096
    assert stats["write_queue"] == {"events": 0, "bytes": 0}


def test_statistics_tell_the_severities_of_added_and_changed_kinds_only(filled: Running, tmp_path: Path) -> None:
    assert filled.get("/stats")["severities"] == {}
    env = {"AUDIT_STREAM_EXTRA_KINDS": "quota_exceeded:critical,quota_reset,other:warning,request_denied:warning"}
    with start_daemon(tmp_path / "audit.db", env=env) as daemon, httpx.Client(base_url=daemon.url) as client:
        severities = client.get("/stats").json()["severities"]
    assert severities == {"quota_exceeded": "critical", "quota_reset": "info", "other": "warning"}


def test_statistics_keep_the_last_verdict(running: Running) -> None:
    running.post()
    verdict = running.get("/verify")
    running.post()
    assert running.get("/stats")["last_verdict"] == verdict


def test_statistics_count_subscribers(running: Running) -> None:
    with following(running.daemon.port), following(running.daemon.port, "/events/stream") as follower:
        follower.read_comment()
        assert running.get("/stats")["subscribers"] == 2
        assert running.metric("subscribers") == 2


def test_statistics_survive_a_restart(tmp_path: Path) -> None:
    database = tmp_path / "audit.db"
    with start_daemon(database) as daemon, httpx.Client(base_url=daemon.url) as client:
        first = Running(daemon, database, client)
        for number in range(5):
            first.post(number)
        before = first.get("/stats")
        metrics = first.metrics()["audit_stream_events"].samples
    with start_daemon(database) as daemon, httpx.Client(base_url=daemon.url) as client:
        again = Running(daemon, database, client)
        kept = ("count", "last_event_id", "latest_hash", "by_kind", "by_source")
        assert {name: again.get("/stats")[name] for name in kept} == {name: before[name] for name in kept}
        assert again.metrics()["audit_stream_events"].samples == metrics


def test_metrics_count_events_by_kind_and_source(filled: Running) -> None:
    family = filled.metrics()["audit_stream_events"]
    counts = {(sample.labels["kind"], sample.labels["source"]): sample.value for sample in family.samples}
    assert family.type == "counter"
    assert counts == dict.fromkeys(zip(KINDS, SOURCES, strict=True), 3.0)


def test_metrics_have_a_type_and_a_help_each_and_no_name_twice(filled: Running) -> None:
    text = filled.client.get("/metrics").text
    families = list(text_string_to_metric_families(text))
    assert len({family.name for family in families}) == len(families)
    assert all(family.documentation and family.type != "unknown" for family in families)
    assert all(family.name.startswith("audit_stream_") for family in families)


def test_metrics_are_served_as_the_text_format(filled: Running) -> None:
    content_type = filled.client.get("/metrics").headers["content-type"]
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"


PROMISED = {
    "audit_stream_append_duration_seconds": "histogram",
    "audit_stream_append_refused": "counter",
    "audit_stream_head_event_id": "gauge",
    "audit_stream_subscribers": "gauge",
    "audit_stream_write_queue_events": "gauge",
    "audit_stream_write_queue_bytes": "gauge",
    "audit_stream_buffer_bytes": "gauge",
    "audit_stream_buffer_dismissed": "counter",
    "audit_stream_store_ok": "gauge",
    "audit_stream_database_size_bytes": "gauge",
    "audit_stream_commits": "counter",
    "audit_stream_commit_failures": "counter",
    "audit_stream_verifications": "counter",
}


@pytest.mark.parametrize(("name", "kind"), PROMISED.items())
def test_a_promised_metric_is_there(filled: Running, name: str, kind: str) -> None:
    assert filled.metrics()[name].type == kind


def test_metrics_tell_of_the_chain_once_it_was_verified(running: Running) -> None:
    running.post()
    assert "audit_stream_chain_valid" not in running.metrics()  # not known is neither valid nor broken
    running.get("/verify")
    assert running.metric("chain_valid") == 1
    assert running.metric("chain_verified_events") == 1
    assert running.metric("verifications_total") == 1


def test_metrics_count_appends_and_refusals(running: Running) -> None:
    running.post()
    running.client.post("/events", json={"kind": "nope", "source": "s"})
    running.client.post("/events", content=b"{}", headers={"Content-Type": "text/plain"})
    assert running.metric("append_duration_seconds_count") == 1
    assert running.metric("append_refused_total", status="422") == 1
    assert running.metric("append_refused_total", status="415") == 1
    assert running.metric("head_event_id") == 1
    assert running.metric("store_ok") == 1


def test_the_first_page_names_the_service_and_its_version(filled: Running) -> None:
    page = filled.get("/")
    assert page["name"] == "audit-stream"
    assert page["version"] == filled.get("/schema")["info"]["version"]


def test_ten_who_ask_for_a_verdict_at_once_do_not_cause_ten_verifications(running: Running) -> None:
    running.post()
    with ThreadPoolExecutor(10) as askers:
        verdicts = list(askers.map(lambda _: running.get("/verify")["valid"], range(10)))
    assert verdicts == [True] * 10
    assert running.metric("verifications_total") < 10
