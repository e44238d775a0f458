"""Producers that keep a daemon busy from several threads, and an account of every answer that they got."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from audit_stream.exports import verify_export
from tests.daemon_process import DEADLINE_S

NDJSON = {"Accept": "application/x-ndjson"}


class Account:
    """What was acknowledged, and which keyed posts were left without an answer."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.events: dict[int, bytes] = {}
        """event_id to the bytes of its 201."""
        self.batches: list[tuple[dict[str, Any], list[str]]] = []
        """The summary of each 201, and the markers that were sent."""
        self.unanswered: dict[str, dict[str, Any]] = {}
        """Idempotency-Key to the event that was posted with it."""
        self.refusals: list[tuple[int, str]] = []
        """Status and detail of each answer that was no 201."""
        self.answers = 0

    def note(self, marker: str, answer: httpx.Response) -> None:
        with self._changed:
            self.answers += 1
            if answer.status_code == 201:
                self.events[answer.json()["event_id"]] = answer.content
                assert marker in answer.text
            else:
                self.refusals.append((answer.status_code, answer.json()["detail"]))
            self._changed.notify_all()

    def note_batch(self, markers: list[str], answer: httpx.Response) -> None:
        with self._changed:
            self.answers += 1
            if answer.status_code == 201:
                self.batches.append((answer.json(), markers))
            else:
                self.refusals.append((answer.status_code, answer.json()["detail"]))
            self._changed.notify_all()

    def wait_for(self, answers: int) -> None:
        """Wait until so many answers have come in all."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.answers >= answers, DEADLINE_S)

    def wait_for_refusal(self, text: str) -> None:
        """Wait until a refusal with this text came."""
        with self._changed:
            assert self._changed.wait_for(lambda: any(text in detail for _, detail in self.refusals), DEADLINE_S)


def fields(marker: str, source: str = "load") -> dict[str, Any]:
    return {"kind": "other", "source": source, "payload": {"marker": marker, "padding": "é" * 40}}


class _Producer(threading.Thread):
    """Posts single events, batches and keyed events until it is stopped or the daemon is gone."""

    def __init__(self, url: str, name: str, seed: int, account: Account, stopped: threading.Event) -> None:
        super().__init__(name=name, daemon=True)
        self._url = url
        self._random = random.Random(seed)
        self._account = account
        self._stopped = stopped
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            with httpx.Client(base_url=self._url, timeout=DEADLINE_S) as client:
                for number in range(1_000_000):
                    if self._stopped.is_set():
                        return
                    self._post(client, f"{self.name}-{number}")
        except httpx.TransportError:
            return  # the daemon was killed
        except BaseException as error:  # noqa: BLE001 - told to the test by `under_load`
            self.failure = error

    def _post(self, client: httpx.Client, marker: str) -> None:
        way = self._random.choice(["one", "one", "keyed", "batch"])
        if way == "one":
            self._account.note(marker, client.post("/events", json=fields(marker)))
        elif way == "keyed":
            self._account.unanswered[marker] = fields(marker, source="keyed")
            answer = client.post("/events", json=self._account.unanswered[marker], headers={"Idempotency-Key": marker})
            if answer.status_code == 201:
                del self._account.unanswered[marker]
            self._account.note(marker, answer)
        else:
            markers = [f"{marker}-{item}" for item in range(self._random.randint(1, 60))]
            answer = client.post("/events/batch", json=[fields(each) for each in markers])
            self._account.note_batch(markers, answer)


@contextmanager
def under_load(url: str, account: Account, *, name: str, seed: int, producers: int = 4) -> Iterator[None]:
    """Keep the daemon busy meanwhile; on exit the producers have ended and failed at nothing but the connection."""
    stopped = threading.Event()
    threads = [_Producer(url, f"{name}.{number}", seed + number, account, stopped) for number in range(producers)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopped.set()
        for thread in threads:
            thread.join(DEADLINE_S)
    for thread in threads:
        assert not thread.is_alive(), "a producer got no answer"
        if thread.failure is not None:
            raise thread.failure


def assert_nothing_lost(url: str, account: Account) -> list[bytes]:
    """Every acknowledged event is there with its acknowledged bytes, in a gapless, valid chain; returns all events."""
    lines = httpx.get(f"{url}/events?since_id=0&limit=100000", headers=NDJSON, timeout=DEADLINE_S).content.splitlines()
    decoded = [json.loads(line) for line in lines]
    for _ in verify_export(decoded):  # the chain, by other code than the daemon's verifier
        pass
    for event_id, body in account.events.items():
        assert lines[event_id - 1] == body
    for summary, markers in account.batches:
        first, last = summary["first_event_id"], summary["last_event_id"]
        assert [event["payload"]["marker"] for event in decoded[first - 1 : last]] == markers
        assert decoded[last - 1]["hash"] == summary["latest_hash"]
    all_markers = [event["payload"]["marker"] for event in decoded]
    assert len(set(all_markers)) == len(all_markers), "an event was stored twice"
    verdict = httpx.get(f"{url}/verify", timeout=DEADLINE_S).json()
    assert (verdict["valid"], verdict["checked"], verdict["reason"]) == (True, len(lines), None)
    return lines


def retry_unanswered(url: str, account: Account) -> None:
    """Post again with the same key what got no answer; each must then be in the log once."""
    with httpx.Client(base_url=url, timeout=DEADLINE_S) as client:
        for marker, event in list(account.unanswered.items()):
            answer = client.post("/events", json=event, headers={"Idempotency-Key": marker})
            assert answer.status_code in (200, 201), answer.text
            assert (answer.status_code == 200) == (answer.headers.get("Idempotent-Replayed") == "true")
            account.events[answer.json()["event_id"]] = answer.content
            del account.unanswered[marker]


def wait_until_ready(url: str, *, path: str = "/readyz", status: int = 200) -> dict[str, Any]:
    """Ask until the answer is `status`; returns it."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        answer = httpx.get(url + path, timeout=DEADLINE_S)
        if answer.status_code == status:
            body: dict[str, Any] = answer.json()
            return body
        assert time.monotonic() < deadline, f"{path} went on answering {answer.status_code}: {answer.text}"


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for a condition; AssertionError when it does not come true."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        threading.Event().wait(0.005)


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
