"""The events that are sent: recorded ones, of kinds that both sides accept."""

from functools import cache
from pathlib import Path

import msgspec

REAL_EVENTS = Path(__file__).parent.parent / "tests" / "data" / "real_events.jsonl"
PEER_REFUSES = {"policy_condition_asserted", "slo_burn_started", "slo_recovered"}  # kinds that 0.1.0 does not know
COMMON_KIND = "request_denied"
RARE_KIND = "attestation_tampered"
RARE_BODY = (
    b'{"kind":"attestation_tampered","source":"hash-attestation",'
    b'"payload":{"attestation_id":"att-5be55604","expected":"sha256:28b0d516d14d5f48","actual":"sha256:433bfc6dcf0ff42a"}}'
)
CYCLE = 10_000  # also the largest batch: one batch is one cycle


class _Kind(msgspec.Struct):
    kind: str


@cache
def recorded() -> tuple[bytes, ...]:
    """The recorded POST bodies, one line of JSON each."""
    lines = REAL_EVENTS.read_bytes().splitlines()
    return tuple(line for line in lines if msgspec.json.decode(line, type=_Kind).kind not in PEER_REFUSES)


@cache
def cycle() -> tuple[bytes, ...]:
    """The 10,000 bodies that a large store repeats: the recorded ones in turn, and one of the rare kind."""
    bodies = [recorded()[index % len(recorded())] for index in range(CYCLE)]
    bodies[CYCLE // 2] = RARE_BODY
    return tuple(bodies)


def batch(size: int, *, first: int = 0) -> bytes:
    """A POST /events/batch body of so many events, from that place in the cycle on."""
    return b"[" + b",".join(cycle()[(first + index) % CYCLE] for index in range(size)) + b"]"
