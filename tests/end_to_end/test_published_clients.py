"""What the published clients of audit-stream 0.1.0 send, and what they need of the answer.

The producers that can be installed run for real in `test_real_producers.py`. Here is the rest: clients in other
languages, readers, and the dashboard's requests, each re-created from what it does on the wire.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_sse import connect_sse

from tests.daemon_process import start_daemon

# What each client's library adds by itself.
PYTHON = {"User-Agent": "python-httpx/0.27.0"}
RUST = {"Accept": "*/*"}
NODE = {"User-Agent": "node", "Accept-Language": "*", "Sec-Fetch-Mode": "cors"}
TOKEN = {"Authorization": "Bearer a-token-of-thirty-two-characters-or-more"}

# kind, source, payload and headers as the client sends them.
SENT = [
    pytest.param(
        "slo_burn_started",
        "slo-budget-tracker",
        {"slo_name": "checkout", "window_seconds": 300, "burn_rate": 14.399999999999999, "success_ratio": 0.9856},
        PYTHON,
        id="slo-budget-tracker",
    ),
    pytest.param(
        "slo_recovered",
        "slo-budget-tracker",
        {"slo_name": "checkout", "window_seconds": 300, "threshold": 14.4},
        PYTHON,
        id="slo-budget-tracker-recovered",
    ),
    pytest.param(
        "attestation_signed",
        "hash-attestation",
        {"key_url": "https://buyer.example/key", "signed_hash": "ab" * 32, "signed_at": "2026-05-15T03:14:15Z"},
        RUST,
        id="hash-attestation",
    ),
    pytest.param(
        "attestation_failed",
        "hash-attestation",
        {"key_url": "https://buyer.example/key", "trusted_keys": 0, "reason": "untrusted key"},
        RUST,
        id="hash-attestation-failed",
    ),
    pytest.param(
        "incident_correlated",
        "incident-correlation",
        {"incident_id": "INC-2026-001", "affected_node_count": 7, "max_urgency": "high"},
        RUST,
        id="incident-correlation",
    ),
    pytest.param(
        "incident_correlation_failed", "incident-correlation", {"reason": "unknown node"}, RUST, id="incident-failed"
    ),
    pytest.param(
        "graph_ingested",
        "aeo-graph-explorer",
        {"nodes": 12, "edges": 30, "input_bytes": 4096},
        RUST,
        id="aeo-graph-explorer",
    ),
    pytest.param(
        "graph_ingest_failed",
        "aeo-graph-explorer",
        {"reason": "expected value at line 1 column 1", "input_bytes": 3},
        RUST,
        id="aeo-graph-explorer-failed",
    ),
    pytest.param(
        "breaker_opened",
        "reliability-toolkit",
        {"name": "downstream-billing", "previous_state": "closed", "cause": "trip"},
        RUST,
        id="reliability-toolkit",
    ),
    pytest.param(
        "breaker_recovered",
        "reliability-toolkit",
        {"name": "downstream-billing", "previous_state": "half_open", "cause": "call"},
        RUST,
        id="reliability-toolkit-recovered",
    ),
    pytest.param(
        "tool_invocation_denied",
        "mcp-permission-broker",
        {"correlation_id": "5a0c", "matched_rules": ["no-deletions"], "rationale": "Denied by rule no-deletions"},
        PYTHON | TOKEN,
        id="mcp-permission-broker",
    ),
    pytest.param(
        "tool_invocation_required_approval",
        "azure-openai-governance-bridge",
        {"caller_id": "tutor", "tool_name": "azure-openai.gpt", "context": {"tenant": {"id": 7, "tags": []}}},
        PYTHON | TOKEN,
        id="azure-openai-governance-bridge",
    ),
    pytest.param(
        "decision_card_status_changed",
        "pg-audit-stream-extension",
        {"table": "public.decisions", "operation": "UPDATE", "new": {"price": 12345678901234567890}, "old": None},
        PYTHON,
        id="pg-audit-stream-extension",
    ),
    pytest.param("other", "claude:session.1", {"note": "“approved” ✅"}, NODE | TOKEN, id="mcp-kinetic-gain"),
]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a daemon that was started without any setting."""
    database = tmp_path_factory.mktemp("published") / "audit.db"
    with start_daemon(database) as daemon, httpx.Client(base_url=daemon.url, trust_env=False) as client:
        yield client


def append(client: httpx.Client, kind: str, source: str) -> dict[str, Any]:
    event: dict[str, Any] = client.post("/events", json={"kind": kind, "source": source}).raise_for_status().json()
    return event


@pytest.mark.parametrize(("kind", "source", "payload", "headers"), SENT)
def test_what_a_published_producer_sends_is_appended_and_answered_with_the_whole_event(
    client: httpx.Client, kind: str, source: str, payload: dict[str, Any], headers: dict[str, str]
) -> None:
    answer = client.post("/events", json={"kind": kind, "source": source, "payload": payload}, headers=headers)

    event = answer.json()
    assert answer.status_code == 201
    assert set(event) == {"event_id", "timestamp", "kind", "source", "payload", "prev_hash", "hash"}
    assert (event["kind"], event["source"], event["payload"]) == (kind, source, payload)
    assert re.fullmatch("[0-9a-f]{64}", event["hash"])
    assert client.get(f"/events/{event['event_id']}").json() == event


@pytest.mark.parametrize("path", ["/events", "/"])
def test_the_first_brokers_envelope_is_refused_as_before_and_appends_nothing(client: httpx.Client, path: str) -> None:
    """It had no source and no payload, and was posted to whatever URL was configured; it looks at no status."""
    count = client.get("/stats").json()["count"]

    answer = client.post(path, json={"kind": "tool_invocation_denied", "correlation_id": "5a0c", "rationale": "no"})

    assert answer.status_code == (422 if path == "/events" else 405)
    assert client.get("/stats").json()["count"] == count


def test_the_start_of_a_refusal_names_what_was_wrong(client: httpx.Client) -> None:
    """The bridge of the PostgreSQL extension logs the first 200 characters of an answer, and no more."""
    answer = client.post("/events", json={"kind": "row_changed", "source": "pg-audit-stream-extension"})

    assert answer.status_code == 422
    assert "kind" in answer.text[:200]


def test_the_dashboard_gets_the_recent_past_oldest_first(client: httpx.Client) -> None:
    appended = [append(client, "watch_drifted", "aeo-validator-service") for _ in range(51)]

    answer = client.get("/events?limit=50", headers={"Accept": "application/json"})

    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.json() == appended[1:]
    assert all(datetime.fromisoformat(event["timestamp"]).tzinfo for event in answer.json())


def test_the_dashboard_gets_the_verdict_that_it_shows(client: httpx.Client) -> None:
    count = append(client, "watch_created", "aeo-validator-service")["event_id"]

    answer = client.get("/verify", headers={"Accept": "application/json"})

    assert answer.status_code == 200
    shown = {name: answer.json()[name] for name in ("valid", "checked", "first_break_at", "reason")}
    assert shown == {"valid": True, "checked": count, "first_break_at": None, "reason": None}


def test_the_assistants_query_applies_all_its_filters(client: httpx.Client) -> None:
    """0.1.0 took no `since_id` and, given a kind, ignored the source; this client has sent all four from the start."""
    since = append(client, "contract_promoted", "registry-one")["event_id"]
    append(client, "contract_promoted", "registry-two")
    append(client, "contract_deprecated", "registry-one")
    wanted = append(client, "contract_promoted", "registry-one")

    query = {"kind": "contract_promoted", "source": "registry-one", "limit": 10, "since_id": since}
    answer = client.get("/events", params=query, headers=NODE | TOKEN)

    assert answer.json() == [wanted]


def test_a_token_that_nobody_configured_does_not_keep_a_reader_out(client: httpx.Client) -> None:
    """Later releases of the published clients send one always, because later releases of audit-stream ask for it."""
    answers = [client.get(path, headers=TOKEN) for path in ("/events", "/verify", "/stats", "/healthz", "/")]

    assert {answer.status_code for answer in answers} == {200}


def test_the_example_of_audit_stream_0_1_0_runs(client: httpx.Client) -> None:
    before = client.get("/stats").json()["count"]

    append(client, "decision_card_drafted", "procurement-decision-api")
    append(client, "request_denied", "policy-as-code-engine")
    last = append(client, "watch_drifted", "aeo-validator-service")

    stats = client.get("/stats").json()
    assert {name: stats[name] for name in ("count", "last_event_id", "latest_hash")} == {
        "count": before + 3,
        "last_event_id": last["event_id"],
        "latest_hash": last["hash"],
    }
    assert client.get("/verify").json()["valid"] is True


def test_an_operator_can_let_in_the_dotted_kinds_of_the_token_validator(tmp_path: Path) -> None:
    kind = "token_validator.access_denied"
    setting = {"AUDIT_STREAM_EXTRA_KINDS": f"token_validator.access_allowed,{kind}:warning"}
    with (
        start_daemon(tmp_path / "audit.db", env=setting) as daemon,
        httpx.Client(base_url=daemon.url, trust_env=False) as client,
        connect_sse(client, "GET", f"{daemon.url}/stream") as stream,
    ):
        appended = append(client, kind, "kg-token-validator-prod-us-east")
        message = next(message for message in stream.iter_sse() if message.data)

        assert (message.event, message.json()) == (kind, appended)
        assert client.get("/events", params={"kind": kind}).json() == [appended]
