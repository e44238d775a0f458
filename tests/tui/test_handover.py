"""The hand-over: readable, in order, and nothing in an event gets a meaning in it."""

from __future__ import annotations

import re
import shlex

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from audit_stream.kinds import Severity
from audit_tui.model.handover import handover
from audit_tui.storage.marks import Mark

NOW_MS = 1_780_000_000_000
URL = "http://127.0.0.1:8093"
MARK = Mark(
    hash="ab" * 32,
    event_id=42,
    timestamp="2026-05-15T03:14:15.000+00:00",
    kind="incident_filed",
    source="incident-correlation-rs",
    url=URL,
    severity=Severity.CRITICAL,
    marked_at_ms=NOW_MS,
)


def written(*marks: Mark, title: str = "Hand-over") -> str:
    return handover(marks, now_ms=NOW_MS, title=title)


def but(**fields: object) -> Mark:
    return msgspec.structs.replace(MARK, **fields)


def test_a_digest_of_one_event() -> None:
    assert written(but(note="Started here.\nSee #41.")) == (
        "# Hand-over\n"
        "\n"
        "Written by audit-tui at 2026-05-28T20:26:40.000+00:00: 1 event is marked (1 critical).\n"
        "\n"
        "## `http://127.0.0.1:8093`\n"
        "\n"
        "To check an event, run its line: it prints the hash of the bytes that the daemon holds, "
        "which must be the hash given here.\n"
        "\n"
        "### CRITICAL `incident_filed`, event 42\n"
        "\n"
        "- time: `2026-05-15T03:14:15.000+00:00`\n"
        "- source: `incident-correlation-rs`\n"
        f"- hash: `{'ab' * 32}`\n"
        "- marked: 2026-05-28T20:26:40.000+00:00\n"
        "- check: `curl -s http://127.0.0.1:8093/events/42/canonical | sha256sum`\n"
        "\n"
        "```text\n"
        "Started here.\n"
        "See #41.\n"
        "```\n"
    )


def test_without_marks_it_says_so() -> None:
    assert written().endswith(": no events are marked.\n")


def test_events_are_grouped_by_log_and_in_the_order_of_their_times() -> None:
    text = written(
        but(event_id=3, timestamp="2026-05-15T03:00:00+02:00"),
        but(event_id=9, url="http://a", severity=Severity.INFO),
        but(event_id=4, timestamp="no time"),
        but(event_id=2, timestamp="2026-05-15T02:00:00Z"),
    )
    assert re.findall(r"^## `(.*)`$", text, re.MULTILINE) == [URL, "http://a"]
    assert re.findall(r", event (\d+)$", text, re.MULTILINE) == ["3", "2", "4", "9"]
    assert "4 events are marked (3 critical, 1 info)" in text


def test_a_file_is_checked_by_opening_it() -> None:
    text = written(but(url="/evidence/audit.db"))
    assert "audit-tui --db" in text
    assert "curl" not in text


def test_an_address_cannot_add_to_the_command() -> None:
    text = written(but(url="http://a/'; rm -rf ~;`x`$(y)"))
    [line] = re.findall(r"^- check: (`+) ?(.*?) ?\1$", text, re.MULTILINE)
    words = shlex.split(line[1])
    assert words == ["curl", "-s", "http://a/'; rm -rf ~;`x`$(y)/events/42/canonical", "|", "sha256sum"]


def test_a_fence_within_a_note_does_not_end_it() -> None:
    lines = written(but(note="```\n# Not a heading\n````")).splitlines()
    assert lines[-5:] == ["`````text", "```", "# Not a heading", "````", "`````"]


def test_controls_and_reordering_characters_are_escaped() -> None:
    text = written(but(kind="a\x1b[31m\u202eb", note="x\u200by\x07", source="a\nb"), title="t\x9b")
    assert text.replace("\n", "").isprintable()
    assert "a\\x1b[31m\\u202eb" in text
    assert "- source: `a\\x0ab`" in text


def test_a_title_is_only_text() -> None:
    title = "<b>[x](http://y)</b> `z` a_b_ é #1 \\"
    assert written(title=title).startswith(
        "# \\<b\\>\\[x\\]\\(http\\:\\/\\/y\\)\\<\\/b\\> \\`z\\` a\\_b\\_ é \\#1 \\\\\n"
    )


hostile = st.text(st.sampled_from("`~#*_[]()<>!|\\-+=:@/&; ab1\n\r\t\x1b\u2028\u202e"), max_size=40) | st.text(
    max_size=20
)


def without_code(text: str) -> str:
    """What is left of the Markdown when fenced blocks and code spans, as CommonMark reads them, are taken out."""
    left, fence = [], ""
    for line in text.split("\n"):
        opening = re.match(r"(`{3,})text$", line)
        if fence:
            if line == fence:
                fence = ""
        elif opening:
            fence = opening[1]
        else:
            left.append(re.sub(r"(?<!`)(`+)(?!`)(.*?)(?<!`)\1(?!`)", "CODE", line))
    assert not fence
    return "\n".join(left)


@given(kind=hostile, source=hostile, timestamp=hostile, hash_=hostile, note=hostile)
def test_outside_code_the_digest_does_not_depend_on_what_an_event_holds(
    kind: str, source: str, timestamp: str, hash_: str, note: str
) -> None:
    text = written(but(kind=kind, source=source, timestamp=timestamp, hash=hash_, note=note))
    plain = written(but(note="x" if note else ""))
    assert without_code(text) == without_code(plain)
