"""Evidence bundles: what they prove, and that damage does not go unseen."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_stream.bundle import FORMAT, Bundle, BundleError, BundleOrigin, check, make, read
from audit_stream.canonical import prepare, splice_hash
from audit_stream.chain import GENESIS, Head, Verdict, link

WRITTEN = BundleOrigin(log="http://daemon.test:8093", console="0.2.0", at="2026-05-15T03:14:15.926+00:00")
VERDICT = Verdict(valid=True, checked=12, first_break_at=None, reason=None)


def _chain(count: int) -> list[bytes]:
    prepared = [
        prepare(
            kind="other", source="cron", payload={"i": i, "text": 'é"\\'}, timestamp="2026-05-15T03:14:15Z", time_ms=0
        )
        for i in range(count)
    ]
    return [splice_hash(linked.canonical, linked.hash) for linked in link(GENESIS, prepared)]


EVENTS = _chain(12)
HEADS = [msgspec.json.decode(raw, type=Head) for raw in EVENTS]
WHOLE = make(
    EVENTS[4:], selected=[5, 8], head=HEADS[11], written=WRITTEN, verdict=VERDICT, remembered=[HEADS[1], HEADS[9]]
)
APART = make(
    [EVENTS[4], EVENTS[5], EVENTS[8], EVENTS[11]],
    selected=[5, 6, 9],
    head=HEADS[11],
    written=WRITTEN,
    verdict=VERDICT,
    left_out=True,
)


def changed(content: bytes, **fields: object) -> bytes:
    return json.dumps({**json.loads(content), **fields}).encode()


def test_a_bundle_is_read_as_it_was_made() -> None:
    bundle = read(WHOLE)
    assert bundle.events == tuple(EVENTS[4:])
    assert bundle.selected == (5, 8)
    assert (bundle.head, bundle.written, bundle.verdict) == (HEADS[11], WRITTEN, VERDICT)
    assert json.loads(WHOLE)["format"] == FORMAT


def test_only_remembered_heads_among_its_events_are_kept() -> None:
    assert read(WHOLE).remembered == (HEADS[9],)


def test_events_up_to_the_head_are_linked_to_it() -> None:
    bundle = read(WHOLE)
    report = check(bundle)
    assert bundle.linked
    assert report.intact
    assert report.reaches_head
    assert any(HEADS[11].hash in sentence for sentence in report.proven)


def test_separate_runs_say_that_they_are_not_linked_to_the_head() -> None:
    bundle = read(APART)
    report = check(bundle)
    assert not bundle.linked
    assert bundle.runs == ((5, 6), (9, 9), (12, 12))
    assert "not linked to the known head #12" in bundle.statement
    assert report.intact
    assert not report.reaches_head
    assert bundle.statement in report.not_proven


def test_events_that_the_log_did_not_hold_are_not_called_left_out() -> None:
    bundle = read(make([EVENTS[0], EVENTS[2]], selected=[1], head=HEADS[2], written=WRITTEN))
    assert bundle.statement.startswith("The log did not hold all that lies between")


def test_the_verdict_is_claimed_and_not_proven() -> None:
    report = check(read(WHOLE))
    assert any("verdict: valid, 12 events checked" in sentence for sentence in report.claimed)
    assert not any("verdict" in sentence for sentence in report.proven)


def test_a_broken_verdict_does_not_break_the_bundle() -> None:
    verdict = Verdict(valid=False, checked=2, first_break_at=3, reason="hash mismatch\x1b[2J at event #3")
    report = check(read(make(EVENTS[4:], selected=[5], head=HEADS[11], written=WRITTEN, verdict=verdict)))
    assert report.intact
    assert any("broken at #3, hash mismatch\\x1b[2J" in sentence for sentence in report.claimed)


def test_an_edited_event_is_named() -> None:
    edited = EVENTS[6].replace(b'"cron"', b'"kron"')
    report = check(read(make([*EVENTS[4:6], edited, *EVENTS[7:]], selected=[5], head=HEADS[11], written=WRITTEN)))
    assert [(fault.event_id, fault.reason) for fault in report.faults] == [(7, "hash mismatch at event #7")]
    assert report.proven == ()


def test_an_event_that_was_linked_elsewhere_is_named_for_its_link_and_its_hash() -> None:
    edited = EVENTS[6].replace(HEADS[5].hash.encode(), b"f" * 64)
    report = check(read(make([*EVENTS[4:6], edited, *EVENTS[7:]], selected=[5], head=HEADS[11], written=WRITTEN)))
    assert [fault.reason for fault in report.faults] == ["prev_hash mismatch at event #7", "hash mismatch at event #7"]


def test_a_rewritten_event_breaks_the_link_after_it() -> None:
    (rewritten,) = link(HEADS[5], [prepare(kind="other", source="x", payload={}, timestamp="", time_ms=None)])
    events = [*EVENTS[4:6], splice_hash(rewritten.canonical, rewritten.hash), *EVENTS[7:]]
    report = check(read(make(events, selected=[5], head=HEADS[11], written=WRITTEN)))
    assert [fault.reason for fault in report.faults] == ["prev_hash mismatch at event #8"]


def test_a_head_of_another_history_is_named() -> None:
    report = check(read(make(EVENTS, selected=[5], head=Head(12, "f" * 64), written=WRITTEN)))
    assert [fault.event_id for fault in report.faults] == [12]
    assert not report.reaches_head


def test_a_remembered_head_of_another_history_is_named() -> None:
    report = check(read(make(EVENTS, selected=[5], head=HEADS[11], written=WRITTEN, remembered=[Head(3, "f" * 64)])))
    assert [fault.event_id for fault in report.faults] == [3]
    assert "remembered head #3" in report.faults[0].reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "this is no evidence bundle"),
        (b"[]", "this is no evidence bundle"),
        (b"\xff{}", "this is no evidence bundle"),
        (EVENTS[0], "this is no evidence bundle"),
        (b"[" * 100_000, "this is no evidence bundle"),
        (b'{"format":"audit-stream-bundle/2"}', "bundle/2' is not"),
        (b'{"format":"audit-stream-bundle/1"}', "damaged"),
        (changed(WHOLE, selected=[]), "holds no event"),
        (changed(WHOLE, events=[]), "holds no event"),
        (changed(WHOLE, selected=[5, 5]), "ascending"),
        (changed(WHOLE, selected=[4]), "#4 is not among"),
        (changed(WHOLE, head={"event_id": 11, "hash": "0" * 64}), "comes after the known head"),
        (changed(WHOLE, remembered=[{"event_id": 2, "hash": "0" * 64}]), "remembered head #2"),
        (changed(WHOLE, events=["{}"]), "one of its events is none"),
        (changed(WHOLE, events=["\ud800"]), "no evidence bundle"),
        (changed(WHOLE, events=[EVENTS[4].decode().replace("cron", "é")]), "ordinal not in range"),
        (changed(WHOLE, events=[EVENTS[5].decode(), EVENTS[4].decode()]), "ascending"),
        (changed(WHOLE, statement="All is well."), "statement"),
        (changed(WHOLE, extra=1), "damaged"),
    ],
)
def test_what_is_no_bundle_is_refused_with_a_reason(content: bytes, reason: str) -> None:
    with pytest.raises(BundleError) as caught:
        read(content)
    assert reason in str(caught.value)


def _notices(content: bytes) -> bool:
    try:
        bundle = read(content)
    except BundleError:
        return True
    return not check(bundle).intact


def _evidence(content: bytes) -> list[int]:
    """The places of the bytes of events and of the head's and remembered hashes, inside their quotes."""
    texts = [json.dumps(raw)[1:-1].encode() for raw in json.loads(content)["events"]]
    places: list[int] = []
    for text in [*texts, HEADS[11].hash.encode(), HEADS[9].hash.encode()]:
        start = content.find(text)
        places += range(start, start + len(text)) if start >= 0 else ()
    return places


@pytest.mark.parametrize("content", [WHOLE, APART], ids=["linked", "apart"])
def test_any_changed_byte_of_an_event_or_a_hash_is_noticed(content: bytes) -> None:
    places = _evidence(content)

    @settings(deadline=None)
    @given(st.sampled_from(places), st.integers(1, 255))
    def one_byte(place: int, difference: int) -> None:
        damaged = bytearray(content)
        damaged[place] ^= difference
        same = _same(bytes(damaged), content)
        assert same or _notices(bytes(damaged))

    one_byte()


def _same(one: bytes, other: bytes) -> bool:
    """Whether both are the same JSON, as an escape written in another way is."""
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_nothing_but_a_bundle_error_escapes_from_any_bytes(content: bytes) -> None:
    with pytest.raises(BundleError):
        read(content)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.sampled_from(sorted(json.loads(WHOLE))), _json)
def test_nothing_but_a_bundle_error_escapes_from_a_field_of_another_form(key: str, value: object) -> None:
    try:
        bundle = read(changed(WHOLE, **{key: value}))
    except BundleError:
        return
    assert isinstance(bundle, Bundle)
    check(bundle)
