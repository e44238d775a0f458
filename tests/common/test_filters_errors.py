"""Texts that are no filter: where the mistake is and what the message advises."""

import subprocess
import sys

import pytest

import audit_stream.filters
from audit_stream.errors import AuditStreamError
from audit_stream.filters import FilterError, parse


@pytest.mark.parametrize(
    ("text", "position", "length", "message"),
    [
        pytest.param("knid:request_denied", 0, 4, "did you mean kind?", id="a field with a typing error"),
        pytest.param("kind:a sevrity:info", 7, 7, "did you mean severity?", id="the second field"),
        pytest.param("-soruce:a", 1, 6, "did you mean source?", id="a negated field"),
        pytest.param("foo:a", 0, 3, "kind, source, severity, id, since, until and payload.<path>", id="the fields"),
        pytest.param("matched_rule_id:a", 0, 15, "payload.matched_rule_id:value", id="a key of the payload"),
        pytest.param("Kind:a", 0, 4, "did you mean kind?", id="fields are lower-case"),
        pytest.param("kind.x:a", 0, 6, "'kind.x' is no field", id="only payload has a path"),
        pytest.param('"kind":a', 0, 6, "quote text that contains a colon", id="a quoted field"),
        pytest.param("http://example.com", 0, 4, "quote text that contains a colon", id="an address"),
        pytest.param(":a", 0, 1, "no field before this colon", id="a colon first"),
        pytest.param("a,b:c", 3, 1, "no field before this colon", id="a colon after two values"),
        pytest.param("kind:", 5, 0, "a value is missing here", id="no value"),
        pytest.param("kind: a", 5, 0, "no space after a colon", id="a space after the colon"),
        pytest.param("kind:a,", 7, 0, "a value is missing here", id="no value after a comma"),
        pytest.param("kind:a, b", 7, 0, "no space after a colon or a comma", id="a space after a comma"),
        pytest.param("kind:a,,b", 7, 0, "a value is missing here", id="two commas"),
        pytest.param("kind:,a", 5, 0, "a value is missing here", id="a comma first"),
        pytest.param("a ,b", 2, 1, "missing before this comma", id="a space before a comma"),
        pytest.param('""', 0, 2, "nothing to search for", id="empty free text"),
        pytest.param("-", 0, 1, "term that follows it", id="a dash alone"),
        pytest.param("a - b", 2, 1, "term that follows it", id="a dash with spaces"),
        pytest.param("--a", 1, 1, 'one "-" negates', id="two dashes"),
        pytest.param('kind:a "b c', 7, 4, "never closed", id="an open quote"),
        pytest.param(r'"a\"', 0, 4, "never closed", id="an escaped quote does not close"),
        pytest.param(r'x "a\nb"', 4, 2, "write \\\\ for the character itself", id="an unknown escape"),
        pytest.param("payload.x:>abc", 10, 4, "'abc' is no number", id="a comparison with text"),
        pytest.param('payload.x:>"2"', 10, 4, "is no number", id="a comparison with quotes"),
        pytest.param("payload.x:>", 10, 1, "such as >2", id="a comparison with nothing"),
        pytest.param("payload.x:a,<1.", 12, 3, "'1.' is no number", id="no JSON number"),
        pytest.param("payload.x:>1e999", 10, 6, "is no number", id="a number out of range"),
        pytest.param("kind:>a", 5, 2, "only numbers and severities compare", id="kinds have no order"),
        pytest.param("payload:a", 0, 7, "payload.<path>:value", id="no path"),
        pytest.param("payload..x:a", 0, 10, "a key of this path is empty", id="two dots"),
        pytest.param("payload.:a", 0, 8, "a key of this path is empty", id="a dot last"),
        pytest.param("payload.*.x:a", 0, 11, "keys have no globs", id="a star in a path"),
        pytest.param("payload" + ".x" * 129 + ":a", 0, 265, "nests too deep", id="a deep path"),
        pytest.param("since:yesterday", 6, 9, "90s, 15m, 2h or 7d", id="a word for a time"),
        pytest.param("since:15", 6, 2, "'15' is no time", id="a duration without unit"),
        pytest.param("since:1.5h", 6, 4, "'1.5h' is no time", id="a fraction of an hour"),
        pytest.param("until:2026-05-15", 6, 10, "2026-05-15T03:14:15Z", id="a day"),
        pytest.param("until:2026-02-30T00:00:00Z", 6, 20, "is no time", id="a day that does not exist"),
        pytest.param("since:9999999d", 6, 8, "outside the years 1 to 9999", id="a long duration"),
        pytest.param("until:9999-12-31T23:59:60Z", 6, 20, "outside the years 1 to 9999", id="the last leap second"),
        pytest.param("severity:warn", 9, 4, "use info, notice, warning or critical", id="no severity"),
        pytest.param("severity:>=urgent", 9, 8, "'urgent' is no severity", id="a comparison with no severity"),
        pytest.param("id:abc", 3, 3, "100..200", id="no id"),
        pytest.param("id:1.5", 3, 3, "a whole number", id="a fraction of an id"),
        pytest.param("id:-1", 3, 2, "a whole number", id="a negative id"),
        pytest.param("id:1,5..2", 5, 4, "2..5", id="a backward range"),
        pytest.param("id:" + "9" * 19, 3, 19, "at most 18 digits", id="an id out of range"),
        pytest.param("id:>" + "9" * 18, 3, 19, "at most 18 digits", id="beyond the last id"),
        pytest.param("a \ud800", 2, 1, "valid UTF-8", id="half a surrogate pair"),
        pytest.param("a" * 4_097, 4_096, 1, "4096 characters", id="a long text"),
        pytest.param('"' + "ΐ" * 4_000 + '"', 4_002, 0, "written out in full", id="a text that is long once folded"),
        pytest.param("a " * 100 + "bc", 200, 2, "100 values", id="many values"),
    ],
)
def test_a_mistake_is_placed_and_explained(text: str, position: int, length: int, message: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse(text, now_ms=1_780_000_000_000)
    assert message in caught.value.message
    assert (caught.value.position, caught.value.length) == (position, length)
    assert str(caught.value) == f"{caught.value.message} (position {position})"


def test_a_message_shows_control_characters_escaped_and_long_text_cut() -> None:
    with pytest.raises(FilterError) as caught:
        parse(f"\x1b[31m{'a' * 1_000}:x", now_ms=0)
    assert "\x1b" not in caught.value.message
    assert len(caught.value.message) < 400


def test_a_filter_error_is_one_of_the_packages_errors() -> None:
    assert issubclass(FilterError, AuditStreamError)


@pytest.mark.parametrize("text", ["a" * 4_096, "payload" + ".x" * 128 + ":a", " ".join(["ab"] * 100), "id:" + "9" * 18])
def test_the_limits_themselves_are_allowed(text: str) -> None:
    parse(text, now_ms=0)


def test_the_package_exports_what_it_says() -> None:
    assert audit_stream.filters.__all__ == ["Filter", "FilterError", "Plan", "matches", "parse", "plan", "register"]
    assert all(hasattr(audit_stream.filters, name) for name in audit_stream.filters.__all__)


def test_importing_the_package_does_not_import_lark_until_a_filter_is_read() -> None:
    program = """
import sys
from audit_stream.filters import parse
parse("", now_ms=0)
assert "lark" not in sys.modules
parse("kind:a", now_ms=0)
assert "lark" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
