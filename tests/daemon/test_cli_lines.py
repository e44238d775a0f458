"""What people see of an event."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_daemon.cli.lines import event_line
from audit_stream.display import safe
from audit_stream.event import Event


def line(*, today: str = "2026-05-15", colour: bool = False, **fields: Any) -> str:
    event: dict[str, Any] = {
        "event_id": 42,
        "timestamp": "2026-05-15T12:01:03.123+00:00",
        "kind": "request_denied",
        "source": "policy-as-code-engine",
        "payload": {"bundle_id": "b-7", "decision": "deny"},
        "prev_hash": "0" * 64,
        "hash": "f" * 64,
    }
    return event_line(Event(**(event | fields)), today=today, colour=colour)


def test_an_event_is_one_line() -> None:
    assert line() == "#42 12:01:03.123 WARNING request_denied policy-as-code-engine bundle_id=b-7 decision=deny"


def test_another_day_is_named() -> None:
    assert line(today="2026-05-16").startswith("#42 2026-05-15 12:01:03.123 ")


def test_times_are_utc() -> None:
    assert line(timestamp="2026-05-15T14:01:03+02:00").startswith("#42 12:01:03.000 ")


def test_a_timestamp_that_is_none_is_shown_as_it_is() -> None:
    assert line(timestamp="yester\x1bday").startswith(r"#42 yester\x1bday WARNING")


def test_severity_is_coloured_on_a_terminal_only() -> None:
    assert "\x1b[33mWARNING\x1b[0m" in line(colour=True)
    assert "\x1b[1;31mCRITICAL\x1b[0m" in line(colour=True, kind="incident_filed")
    assert "\x1b" not in line()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "plain"),
        ("", '""'),
        ("two words", '"two words"'),
        ('a="b"', r'"a=\"b\""'),
        (3, "3"),
        (None, "null"),
        (True, "true"),
        ({"a": [1, "ü"]}, '{"a": [1, "ü"]}'),
        ("\x1b[2J", r'"\u001b[2J"'),
        ("\u202eevil", r"\u202eevil"),
        ("x" * 500, "x" * 119 + "…"),
    ],
)
def test_a_payload_value_is_short_and_cannot_be_mistaken(value: object, shown: str) -> None:
    assert line(payload={"key": value}).endswith(f" key={shown}")


def test_a_large_payload_stays_one_line() -> None:
    shown = line(payload={f"k{number}": "v" for number in range(1000)})
    assert shown.endswith(" k23=v (and 976 more)")


@given(st.text())
def test_nothing_that_steers_a_terminal_gets_through(text: str) -> None:
    shown = line(kind=text, source=text, timestamp=text, payload={text: text, "list": [text]})
    assert all(unicodedata.category(char)[0] not in "CZ" or char == " " for char in shown)


@given(st.text())
def test_safe_text_is_left_alone(text: str) -> None:
    assert safe(text) == text or not text.isprintable()
