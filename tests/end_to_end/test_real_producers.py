"""The main job on real input: four published producers run as they are and post to a real daemon."""

import hashlib
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_sse import ServerSentEvent, connect_sse

from tests.daemon_process import start_daemon
from tests.end_to_end.producers import contract_registry, decision_api, policy_engine, validator_service
from tests.end_to_end.producers.documents import VendorSite
from tests.end_to_end.producers.environment import producers_python
from tests.end_to_end.producers.process import run_producer
from tests.end_to_end.producers.scenario import Emitted, Scenario

# The first run on a machine installs the producers.
pytestmark = pytest.mark.timeout(300)

SOURCES = (
    "policy-as-code-engine",
    "procurement-decision-api",
    "data-contract-registry",
    "aeo-validator-service",
)
# What these four can emit.
KINDS = {
    "policy_bundle_registered",
    "request_allowed",
    "request_denied",
    "policy_condition_asserted",
    "decision_card_drafted",
    "contract_promoted",
    "contract_compatibility_failed",
    "contract_deprecated",
    "watch_created",
    "watch_drifted",
    "watch_validity_flipped",
}
# What they were once seen to send, together with other producers.
RECORDED = Path(__file__).parents[1] / "data" / "real_events.jsonl"
DEADLINE_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Run:
    """What the producers must have emitted, what they printed, and what the daemon says after it."""

    emitted: dict[str, list[Emitted]]
    output: dict[str, str]
    events: list[dict[str, Any]]
    canonical: list[bytes]
    verdict: dict[str, Any]
    stats: dict[str, Any]
    messages: list[ServerSentEvent]

    @property
    def emitted_count(self) -> int:
        return sum(len(events) for events in self.emitted.values())


@dataclass
class StreamFollower:
    """Keeps every message of the daemon's stream from the moment that the stream is open."""

    messages: list[ServerSentEvent] = field(default_factory=list)
    opened: threading.Event = field(default_factory=threading.Event)
    finished: threading.Event = field(default_factory=threading.Event)

    def follow(self, url: str) -> None:
        timeout = httpx.Timeout(DEADLINE_S, read=None)
        try:
            with (
                httpx.Client(timeout=timeout, trust_env=False) as client,
                connect_sse(client, "GET", f"{url}/stream") as stream,
            ):
                stream.response.raise_for_status()
                self.opened.set()
                for message in stream.iter_sse():
                    self.messages.append(message)
                    if is_end_of_run(message):
                        break
        finally:
            self.finished.set()

    def until_end_of_run(self) -> list[ServerSentEvent]:
        """All messages before the one that marks the end."""
        self.finished.wait(DEADLINE_S)
        assert any(map(is_end_of_run, self.messages)), f"the stream stopped after {len(self.messages)} messages"
        return self.messages[:-1]


# Posted by the test itself after everything has been read: whatever comes before it on the stream is all there was.
END_OF_RUN = {"kind": "other", "source": "end-to-end-test", "payload": {"end_of_run": True}}


def is_end_of_run(message: ServerSentEvent) -> bool:
    return bool(json.loads(message.data)["source"] == END_OF_RUN["source"])


@contextmanager
def following(url: str) -> Iterator[StreamFollower]:
    follower = StreamFollower()
    thread = threading.Thread(target=follower.follow, args=(url,), daemon=True)
    thread.start()
    assert follower.opened.wait(DEADLINE_S), "the stream did not open"
    yield follower
    thread.join(DEADLINE_S)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All four at once, so that their events interleave in the chain."""
    directory = tmp_path_factory.mktemp("real_producers")
    producers_python()
    scenarios = scenarios_of(directory)
    with start_daemon(directory / "audit.db") as daemon, following(daemon.url) as follower:
        with ThreadPoolExecutor(len(scenarios)) as pool:
            emitted = list(pool.map(lambda scenario: drive(scenario, daemon.url, directory), scenarios))
        with httpx.Client(base_url=daemon.url, timeout=DEADLINE_S, trust_env=False) as client:
            events = client.get("/events").raise_for_status().json()
            canonical = [client.get(f"/events/{event['event_id']}/canonical").content for event in events]
            verdict = client.get("/verify").raise_for_status().json()
            stats = client.get("/stats").raise_for_status().json()
            client.post("/events", json=END_OF_RUN).raise_for_status()
        messages = follower.until_end_of_run()
    return Run(
        emitted={scenario.source: events for scenario, events in zip(scenarios, emitted, strict=True)},
        output={
            scenario.source: log_of(scenario, directory).read_text(encoding="utf-8", errors="replace")
            for scenario in scenarios
        },
        events=events,
        canonical=canonical,
        verdict=verdict,
        stats=stats,
        messages=messages,
    )


def scenarios_of(directory: Path) -> list[Scenario]:
    vendor = VendorSite(documents_in(directory))
    return [
        policy_engine.scenario(),
        decision_api.scenario(vendor),
        contract_registry.scenario(),
        validator_service.scenario(vendor),
    ]


def drive(scenario: Scenario, daemon_url: str, directory: Path) -> list[Emitted]:
    environment = {
        "AUDIT_STREAM_URL": daemon_url,
        # Two of the four insist on a token and send it always. The daemon asks for none on loopback.
        "AUDIT_STREAM_TOKEN": "token-that-nobody-has-configured-0123456789",
        # They give up for good after this time. What is tested here is not the speed of a crowded machine.
        "AUDIT_STREAM_TIMEOUT_S": "10",
        **scenario.environment,
    }
    with run_producer(
        scenario.app, documents=documents_in(directory), log=log_of(scenario, directory), environment=environment
    ) as producer:
        return scenario.drive(producer)


def documents_in(directory: Path) -> Path:
    return directory / "vendor"


def log_of(scenario: Scenario, directory: Path) -> Path:
    return directory / f"{scenario.source}.log"


def as_json(value: object) -> str:
    """Unlike ==, tells true from 1 and 1 from 1.0."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def shape(event: dict[str, Any]) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    """Kind and source, and the names and types in the payload."""
    payload = sorted((name, type(value).__name__) for name, value in event["payload"].items())
    return event["kind"], event["source"], tuple(payload)


def test_the_scenarios_make_every_kind_that_the_producers_know(run: Run) -> None:
    assert set(run.emitted) == set(SOURCES)
    assert {event.kind for events in run.emitted.values() for event in events} == KINDS


def test_the_scenarios_make_every_shape_that_was_recorded(run: Run) -> None:
    recorded = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]

    assert {shape(event) for event in recorded if event["source"] in SOURCES} <= {shape(event) for event in run.events}


@pytest.mark.parametrize("source", SOURCES)
def test_no_producer_had_an_event_refused(run: Run, source: str) -> None:
    assert "audit-stream emit failed" not in run.output[source], run.output[source]


@pytest.mark.parametrize("source", SOURCES)
def test_every_event_of_a_producer_is_in_the_chain_in_its_order(run: Run, source: str) -> None:
    stored = [as_json([event["kind"], event["payload"]]) for event in run.events if event["source"] == source]

    assert stored == [as_json([event.kind, event.payload]) for event in run.emitted[source]]


def test_nothing_else_is_in_the_chain(run: Run) -> None:
    assert [event["event_id"] for event in run.events] == list(range(1, run.emitted_count + 1))
    assert run.stats["count"] == run.emitted_count


def test_the_chain_can_be_recomputed_without_the_daemon(run: Run) -> None:
    head = "0" * 64
    for event, canonical in zip(run.events, run.canonical, strict=True):
        fields = {name: value for name, value in event.items() if name != "hash"}
        recomputed = as_json(fields).encode("ascii")
        assert canonical == recomputed
        assert event["prev_hash"] == head
        head = hashlib.sha256(recomputed).hexdigest()
        assert event["hash"] == head
    assert run.stats["latest_hash"] == head


def test_every_event_was_seen_once_on_the_stream(run: Run) -> None:
    streamed = [(message.event, message.id, as_json(json.loads(message.data))) for message in run.messages]

    assert streamed == [(event["kind"], str(event["event_id"]), as_json(event)) for event in run.events]


def test_the_daemon_finds_its_own_chain_whole(run: Run) -> None:
    assert run.verdict["valid"] is True
    assert run.verdict["checked"] == run.emitted_count
    assert run.verdict["first_break_at"] is None
    assert run.verdict["reason"] is None
