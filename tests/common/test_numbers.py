"""Floats are read as msgspec reads them, and none costs much more than another."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from audit_stream.canonical import join
from audit_stream.chain import GENESIS_HASH
from audit_stream.errors import EventRejected
from audit_stream.event import EventReader
from audit_stream.filters import Plan, parse, plan, register
from audit_stream.numbers import read_float

DIGITS = st.text("0123456789", min_size=1, max_size=30)
NUMBERS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "-"]),
    st.one_of(st.just("0"), st.integers(1, 10**25).map(str)),
    st.one_of(st.just(""), DIGITS.map(".{}".format)),
    st.one_of(st.just(""), st.builds("{}{}".format, st.sampled_from(["e", "E", "e+", "e-"]), st.integers(0, 400))),
)


def outcome(decoder: msgspec.json.Decoder[Any], text: str) -> str:
    try:
        return repr(decoder.decode(text))
    except msgspec.ValidationError as error:
        return str(error)


@given(NUMBERS)
@example("1.7976931348623157e308")
@example("1.7976931348623159e308")
@example("-1e309")
@example("5e-324")
@example("2.4703282292062327e-324")
@example("-0.0")
@example("9007199254740993.00000000000000000001")
@example("1" * 400)
@example("1" * 400 + ".5")
def test_a_number_is_what_msgspec_reads(number: str) -> None:
    text = f'[{number},{{"a":{number}}}]'
    hooked = msgspec.json.Decoder(float_hook=read_float)
    assert outcome(hooked, text) == outcome(msgspec.json.Decoder(), text)


READER = EventReader()
CHEAP, COSTLY = b"9e200", b"9e307"  # msgspec takes four hundred times as long for the second


def event(number: bytes, count: int) -> bytes:
    return b'{"kind":"other","source":"s","payload":{"a":[%b]}}' % b",".join([number] * count)


def refuse(number: bytes) -> None:
    """An event that is refused in the end, because it is too long."""
    with pytest.raises(EventRejected):
        READER.read(event(number, 60_000))


def read(number: bytes) -> None:
    READER.read(event(number, 8_000))


def read_batch(number: bytes) -> None:
    READER.read_array(b"[%b]" % b",".join([event(number, 8_000)] * 10), max_events=10)


def search(number: bytes) -> None:
    canonical = join(1, READER.read(event(number, 8_000)), GENESIS_HASH)
    wanted: Plan = plan(parse("-payload.a:7", now_ms=0))
    with closing(sqlite3.connect(":memory:")) as connection:
        register(connection)
        connection.execute("CREATE TABLE e (canonical BLOB)")
        connection.execute("INSERT INTO e VALUES (?)", (canonical,))
        found = connection.execute(f"SELECT 1 FROM e WHERE {wanted.where}", wanted.params).fetchall()
    assert found


def seconds(work: Callable[[bytes], None], number: bytes) -> float:
    """The least of some runs, in time of the processor."""
    took = []
    for _ in range(3):
        began = time.process_time()
        work(number)
        took.append(time.process_time() - began)
    return min(took)


@pytest.mark.parametrize("work", [refuse, read, read_batch, search])
def test_numbers_near_the_end_of_the_range_cost_about_as_much_as_others(work: Callable[[bytes], None]) -> None:
    assert seconds(work, COSTLY) < 5 * seconds(work, CHEAP)


def test_floats_that_no_event_can_hold_are_refused_before_they_are_read() -> None:
    with pytest.raises(EventRejected, match="takes more than 65535 bytes in any form"):
        READER.read(event(b"0.0\n", 16_384))


@pytest.mark.parametrize("text", ["1.5," * 16_000, "7.1." * 15_000, "9e307" * 12_000])
def test_numbers_in_a_text_are_no_numbers(text: str) -> None:
    body = b'{"kind":"other","source":"s","payload":{"a":"%b"}}' % text.encode() + b" " * 70_000
    assert READER.read(body).middle.count(text.encode()) == 1
