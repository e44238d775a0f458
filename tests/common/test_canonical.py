"""The canonical form: the bytes that are hashed, the same for everyone who hashes them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_stream.canonical import (
    MAX_CANONICAL_BYTES,
    canonical_bytes,
    canonical_event,
    hash_of,
    join,
    prepare,
    read_envelope,
    splice_hash,
)
from audit_stream.chain import GENESIS, GENESIS_HASH, link
from audit_stream.errors import EventRejected
from audit_stream.event import EventReader

DATA = Path(__file__).parents[1] / "data"
VECTORS: list[dict[str, Any]] = json.loads((DATA / "chain_vectors.json").read_text())["vectors"]

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0.1, 1e15, 1e16, 1e17, 1e22, 5e-324, 1.7976931348623157e308, -0.0, 14.399999999999999])
    | st.text()
    | st.sampled_from(["\x00", "\x1f", "\x7f", "\x80", "é", "\u2028", "\uffff", "😀", '"', "\\", "/", "</script>"])
)
payloads = st.dictionaries(
    st.text(max_size=8),
    st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_size=6,
)


def fields_of(payload: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "other", "source": "s", "payload": payload, "timestamp": "2026-05-15T03:14:15.000+00:00"}


def read_back(fields: dict[str, Any], event_id: int = 1, prev_hash: str = GENESIS_HASH) -> bytes:
    """The canonical bytes of an event that came as JSON text."""
    return join(event_id, EventReader().read(json.dumps(fields).encode()), prev_hash)


def dumped(fields: dict[str, Any], event_id: int = 1, prev_hash: str = GENESIS_HASH) -> bytes:
    """The canonical form as it is defined."""
    whole = fields | {"event_id": event_id, "prev_hash": prev_hash}
    return json.dumps(whole, sort_keys=True, separators=(",", ":")).encode("ascii")


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_vector_of_audit_stream_0_1_0_gets_the_same_hash(vector: dict[str, Any]) -> None:
    prepared = EventReader().read(vector["request_body"].encode())
    canonical = join(vector["event_id"], prepared, vector["prev_hash"])
    assert hash_of(canonical) == vector["hash"]
    fields = json.loads(vector["request_body"])
    assert canonical == dumped({"payload": {}} | fields, vector["event_id"], vector["prev_hash"])
    assert canonical_bytes(json.loads(canonical)) == canonical


def test_the_vectors_are_one_chain() -> None:
    drafts = [EventReader().read(vector["request_body"].encode()) for vector in VECTORS]
    linked = list(link(GENESIS, drafts))
    assert [(each.event_id, each.hash) for each in linked] == [(each["event_id"], each["hash"]) for each in VECTORS]


@settings(max_examples=300, deadline=None)
@given(payload=payloads)
def test_the_form_of_any_payload_is_what_json_dumps_gives(payload: dict[str, Any]) -> None:
    fields = fields_of(payload)
    canonical = read_back(fields)
    assert canonical == dumped(fields) == canonical_bytes(json.loads(dumped(fields)))
    assert json.loads(canonical)["payload"] == payload


@settings(max_examples=100, deadline=None)
@given(payload=payloads)
def test_the_form_does_not_depend_on_how_the_body_was_written(payload: dict[str, Any]) -> None:
    fields = fields_of(payload)
    reversed_keys = dict(reversed(fields.items())) | {"payload": dict(reversed(payload.items()))}
    spread = json.dumps(reversed_keys, indent=3, ensure_ascii=False).encode()
    assert join(1, EventReader().read(spread), GENESIS_HASH) == dumped(fields)


@settings(max_examples=100, deadline=None)
@given(payload=payloads, event_id=st.integers(1, 2**63 - 1), prev=st.binary())
def test_a_served_event_is_its_canonical_bytes_with_the_hash_as_last_key(
    payload: dict[str, Any], event_id: int, prev: bytes
) -> None:
    prev_hash = hashlib.sha256(prev).hexdigest()
    canonical = read_back(fields_of(payload), event_id, prev_hash)
    served = splice_hash(canonical, hash_of(canonical))
    assert json.loads(served) == json.loads(canonical) | {"hash": hash_of(canonical)}
    assert canonical_event(served) == canonical
    envelope = read_envelope(canonical)
    assert (envelope.event_id, envelope.prev_hash, envelope.kind) == (event_id, prev_hash, "other")
    assert json.loads(bytes(envelope.payload)) == payload


@pytest.mark.parametrize("served", [b"", b"{}", b'{"event_id":1}', b'{"hash":"00"}', b'{"a":1,"hash":"%b","z":1}'])
def test_what_does_not_end_with_a_hash_is_no_served_event(served: bytes) -> None:
    with pytest.raises(ValueError, match="the last key of a served event must be its hash"):
        canonical_event(served)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_cannot_carry_have_no_canonical_form(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_bytes({"payload": {"x": value}})
    with pytest.raises(ValueError, match="not JSON compliant"):
        prepare(kind="other", source="s", payload={"x": value}, timestamp="t", time_ms=None)


def sized(size: int, filler: str = "x", width: int = 1) -> dict[str, Any]:
    """A payload whose event takes `size` bytes in canonical form with an id of 19 digits."""
    empty = len(dumped(fields_of({"t": ""}), event_id=10**18))
    count, rest = divmod(size - empty, width)
    return {"t": filler * count + "x" * rest}


@pytest.mark.parametrize(("filler", "width"), [("x", 1), ("é", 6), ("😀", 12), ("\x7f", 6), ('"', 2)])
def test_the_largest_event_takes_65535_bytes_and_not_one_more(filler: str, width: int) -> None:
    largest = fields_of(sized(MAX_CANONICAL_BYTES, filler, width))
    assert len(read_back(largest, event_id=10**18)) == MAX_CANONICAL_BYTES == 65_535
    body = json.dumps(fields_of(sized(MAX_CANONICAL_BYTES + 1, filler, width)), ensure_ascii=False).encode()
    with pytest.raises(EventRejected, match="the event would take 65536 bytes in canonical form") as caught:
        EventReader().read(body)
    assert caught.value.field == "payload"
