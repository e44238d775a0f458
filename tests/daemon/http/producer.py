"""A producer that appends as fast as it can for as long as a test looks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx


@contextmanager
def appending(url: str, *, batch: int = 20) -> Iterator[None]:
    """Appends batches of this size from a thread of its own until the block ends. Raises what stopped it before."""
    stop = threading.Event()
    failures: list[httpx.HTTPError] = []
    events = [{"kind": "other", "source": "busy", "payload": {"number": number}} for number in range(batch)]

    def append() -> None:
        with httpx.Client(base_url=url, timeout=20) as producer:
            try:
                while not stop.is_set():
                    producer.post("/events/batch", json=events).raise_for_status()
            except httpx.HTTPError as error:
                failures.append(error)

    thread = threading.Thread(target=append)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if failures:
        raise failures[0]
