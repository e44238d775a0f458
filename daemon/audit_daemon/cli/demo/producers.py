"""Five services that post what they decide, each at its own irregular pace, through the client that services use."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any

import msgspec

from audit_stream.client import Client

__all__ = ["Producers", "Sample", "read_samples", "vary"]

_GAP_S = {"policy-as-code-engine": 0.4}
_USUAL_GAP_S = 1.0
"""Mean time between two events of a source. With five sources some six events a second: lively, yet readable."""

_BURST_CHANCE = 0.15
_BURST_EVENTS = 3
_BURST_GAP_S = 0.05

_RETRY_S = 5.0

_ID = re.compile(r"[0-9a-f]{8,64}")


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """The body of an event."""

    kind: str
    source: str
    payload: dict[str, Any]


def read_samples() -> dict[str, list[Sample]]:
    """The bodies of events.jsonl by source, in the file's order, in which each source's events make sense."""
    text = resources.files(__package__).joinpath("events.jsonl").read_text(encoding="utf-8")
    samples: dict[str, list[Sample]] = {}
    for line in text.splitlines():
        sample = msgspec.json.decode(line, type=Sample)
        samples.setdefault(sample.source, []).append(sample)
    return samples


def vary(value: Any, salt: str) -> Any:
    """The value with other ids and hashes: the same one becomes the same other one wherever `salt` is the same."""
    if isinstance(value, str):
        return _ID.sub(lambda found: hashlib.sha256(f"{salt}{found[0]}".encode()).hexdigest()[: len(found[0])], value)
    if isinstance(value, list):
        return [vary(item, salt) for item in value]
    if isinstance(value, dict):
        return {key: vary(item, salt) for key, item in value.items()}
    return value


class Producers:
    """The services. `stretch` makes all their pauses longer, at any time."""

    def __init__(self, client: Client, *, seed: int | None = None) -> None:
        self.stretch = 1.0
        self._client = client
        self._random = random.Random(seed)  # noqa: S311 - pauses and sample ids, no secrets

    @asynccontextmanager
    async def posting(self) -> AsyncIterator[None]:
        """They post while the context lasts. When one of them fails, the body is cancelled and its error raised."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._post(samples)) for samples in read_samples().values()]
                try:
                    yield
                finally:
                    for task in tasks:
                        task.cancel()
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _post(self, samples: list[Sample]) -> None:
        """Go through the samples again and again, each time with other ids."""
        mean_s = _GAP_S.get(samples[0].source, _USUAL_GAP_S)
        await asyncio.sleep(self._random.uniform(0, mean_s / 2))
        burst = 0
        while True:
            salt = self._random.randbytes(8).hex()
            for sample in samples:
                body = {"kind": sample.kind, "source": sample.source, "payload": vary(sample.payload, salt)}
                await self._client.append(json.dumps(body).encode(), retry_for_s=_RETRY_S)
                burst = burst - 1 if burst else _BURST_EVENTS if self._random.random() < _BURST_CHANCE else 0
                pause_s = min(self._random.expovariate(1 / mean_s), 3 * mean_s)
                await asyncio.sleep((_BURST_GAP_S if burst else pause_s) * self.stretch)
