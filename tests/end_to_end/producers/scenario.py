"""What a scenario is: one producer, how to start it, and how to make it emit."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.end_to_end.producers.process import RunningProducer


class Emitted(NamedTuple):
    """An event that a producer must have sent, and all of its payload."""

    kind: str
    payload: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """`drive` uses the producer's own endpoints and returns what it must have emitted, in that order.

    Among the calls are some that must not emit anything, such as dry runs and refused requests. Every producer awaits
    its POST to the daemon before it answers, so when `drive` returns, all of it has been sent.
    """

    source: str
    app: str
    environment: Mapping[str, str]
    drive: Callable[[RunningProducer], list[Emitted]]
