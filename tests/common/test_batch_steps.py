"""Large batches are read in steps of bounded work, and come out as if each event had been read by itself."""

from __future__ import annotations

import json
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_stream.errors import EventRejected
from audit_stream.event import EventReader, Step
from audit_stream.items import MAX_ITEM_BYTES, SLICE_BYTES

READER = EventReader(clock_ms=lambda: 1_780_000_000_000)
MAX_EVENTS = 10_000


def event(payload: str = "{}", kind: str = "other") -> bytes:
    return f'{{"kind":"{kind}","source":"s","payload":{payload}}}'.encode()


NASTY = {
    "usual": event('{"rule":"dpa-required","n":1.5,"user":"' + "x" * 150 + '"}'),
    "looks like more events": event('{"events":[' + ",".join(['{"kind":"other","source":"s"}'] * 100) + "]}"),
    "quotes and brackets in strings": event(
        json.dumps({"text": '},{"kind":"other"},"]' * 50 + "\\" * 7, '},\n{"kind"': ["]", "[", "{"]})
    ),
    "not ASCII": event(json.dumps({"é": "ünï\U0001f600" * 100}, ensure_ascii=False)),
    "pretty": json.dumps(json.loads(event('{"a":[1,{"b":[]}]}')), indent=4).encode(),
    "other order": b'{"payload" : {"a":{"a":{}}} ,"source":"s", "kind":"other"}',
    "largest": event('{"text":"' + "x" * 65_000 + '"}'),
    "much white space": event() + b" " * 300_000,
    "white space inside": event("{" + " " * 200_000 + "}"),
    "numbers": event("[]".join(['{"a":', "}"]).replace("[]", str([10**17, 1e300, -0.0] * 500))),
}
WRONG = {
    "unknown kind": event(kind="nope"),
    "no object": b"[]",
    "nothing": b"",
    "cut": event()[:-1],
    "two": event() + event(),
    "garbage": b"{}}",
    "a quote": b'"',
    "NaN": event('{"a":NaN}'),
    "too many values": event("{" + ",".join(['"a":0'] * 70_000) + "}"),
    "too long": event("{" + " " * MAX_ITEM_BYTES + "}"),
    "no source": b'{"kind":"other"}',
}
ITEMS = st.lists(st.sampled_from(list(NASTY.values())), min_size=1, max_size=6)


def repeated(some: list[bytes], size_bytes: int) -> list[bytes]:
    """The same items again and again, until they take this much."""
    return (some * (size_bytes // sum(len(item) + 1 for item in some) + 1))[:MAX_EVENTS]


def steps_of(body: bytes, *, lines: bool = False) -> list[Step]:
    read = READER.ndjson_steps if lines else READER.array_steps
    return list(read(bytearray(body), max_events=MAX_EVENTS))


@settings(max_examples=12, deadline=None)
@given(some=ITEMS, between=st.sampled_from([b",", b" ,\r\n\t", b"\n,"]), size=st.sampled_from([1, 300_000, 800_000]))
def test_an_array_holds_the_events_of_its_items(some: list[bytes], between: bytes, size: int) -> None:
    items = repeated(some, size)
    steps = steps_of(b" [ %b\n] " % between.join(items))
    assert [prepared for step in steps for prepared in step.events] == [READER.read(item) for item in items]
    assert all(len(step.items) <= SLICE_BYTES + MAX_ITEM_BYTES for step in steps)
    again = [value for step in steps for value in json.loads(b"[%b]" % step.items)]
    assert again == [json.loads(item) for item in items]


@settings(max_examples=8, deadline=None)
@given(some=ITEMS, size=st.sampled_from([1, 300_000, 800_000]))
def test_lines_hold_the_events_of_each_line(some: list[bytes], size: int) -> None:
    items = [item.replace(b"\n", b" ") for item in repeated(some, size)]
    steps = steps_of(b"\n \n" + b"\r\n\n".join(items), lines=True)
    assert [prepared for step in steps for prepared in step.events] == [READER.read(item) for item in items]
    again = [value for step in steps for value in json.loads(b"[%b]" % step.items)]
    assert again == [json.loads(item) for item in items]


@settings(max_examples=25, deadline=None)
@given(
    some=ITEMS,
    wrong=st.sampled_from(list(WRONG.values())),
    size=st.sampled_from([300_000, 800_000]),
    where=st.floats(0, 1),
)
def test_whatever_is_wrong_in_a_large_array_is_refused_at_its_index(
    some: list[bytes], wrong: bytes, size: int, where: float
) -> None:
    items = repeated(some, size)
    index = round(where * len(items))
    items.insert(index, wrong)
    with pytest.raises(EventRejected) as refused:
        steps_of(b"[%b]" % b",".join(items))
    assert refused.value.field.partition(".")[0] == f"[{index}]"


@pytest.mark.parametrize(
    "body",
    [
        b"[%b",
        b"%b]",
        b"[%b]]",
        b"[%b,]",
        b"[,%b]",
        b"[%b],[%b]",
        b"{%b}",
        b"[%b] x",
        b"\xef\xbb\xbf[%b]",
        b'["%b"]',
    ],
)
def test_a_large_text_that_is_no_array_of_events_is_refused(body: bytes) -> None:
    items = b",".join(repeated([NASTY["usual"]], 600_000))
    with pytest.raises(EventRejected):
        steps_of(body.replace(b"%b", items))


@pytest.mark.parametrize("lines", [False, True])
def test_a_batch_of_too_many_is_refused_at_the_first_one_too_many(lines: bool) -> None:
    steps: list[Step] = []
    body = (b"%b" if lines else b"[%b]") % (b"\n" if lines else b",").join([event()] * 200_000)
    read = READER.ndjson_steps if lines else READER.array_steps
    with pytest.raises(EventRejected, match="the batch has more than 10000 events; 10000 are allowed: split it"):
        steps.extend(read(body, max_events=MAX_EVENTS))
    assert sum(len(step.events) for step in steps) <= MAX_EVENTS


@pytest.mark.parametrize("white", [b" ", b"\n", b"\r", b"\t"])
def test_a_large_batch_of_nothing_is_empty(white: bytes) -> None:
    for body, lines in ((b"[" + white * 1_000_000 + b"]", False), (white * 1_000_000, True)):
        with pytest.raises(EventRejected, match="the batch is empty"):
            steps_of(body, lines=lines)


@pytest.mark.parametrize("lines", [False, True])
def test_the_text_is_given_back_while_the_events_come(lines: bool) -> None:
    """Of a large batch, text and events together take little more than one of them."""
    items = repeated([NASTY["usual"]], 2_000_000)
    text = (b"%b" if lines else b"[%b]") % (b"\n" if lines else b",").join(items)
    body = bytearray(text)
    read = READER.ndjson_steps if lines else READER.array_steps
    read_bytes = most = 0
    for step in read(body, max_events=MAX_EVENTS):
        read_bytes += len(step.items)
        most = max(most, sys.getsizeof(body) + read_bytes)
    assert most < 1.6 * len(text)
    assert sys.getsizeof(body) < len(text) / 4
