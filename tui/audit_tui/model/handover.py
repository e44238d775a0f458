"""A hand-over of the marked events as Markdown.

Whatever came from outside stands in code spans and blocks with a fence longer than any run of backticks in it: no
markup, link, mention or HTML in an event or a note gets a meaning, in whatever shows the hand-over.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence

from audit_stream.display import safe
from audit_stream.kinds import Severity
from audit_stream.timestamps import format_rfc3339_ms, time_ms_or_none
from audit_tui.log import is_address
from audit_tui.storage.marks import Mark

__all__ = ["handover"]

_MEANINGFUL = re.compile(r"([!#$%&()*+./:<=>@\[\\\]^_`{|}~])")
"""What may mean something within a line, escaped by a backslash (CommonMark 0.31, section 2.4)."""
_BACKTICKS = re.compile("`+")


def handover(marks: Iterable[Mark], *, now_ms: int, title: str) -> str:
    """The Markdown, ending in a newline: a section a log, in it the events by their own time, and how to check each."""
    by_log: dict[str, list[Mark]] = {}
    for mark in marks:
        by_log.setdefault(mark.url, []).append(mark)
    everything = [mark for group in by_log.values() for mark in group]
    lines = [
        f"# {_escaped(title)}",
        "",
        f"Written by audit-tui at {format_rfc3339_ms(now_ms)}: {_counted(everything)}.",
    ]
    for url in sorted(by_log):
        lines += ["", *_section(url, sorted(by_log[url], key=_order))]
    return "\n".join(lines) + "\n"


def _counted(marks: Sequence[Mark]) -> str:
    if not marks:
        return "no events are marked"
    severities = [
        f"{count} {severity.label}"
        for severity in sorted(Severity, reverse=True)
        if (count := sum(mark.severity == severity for mark in marks))
    ]
    events = "1 event is marked" if len(marks) == 1 else f"{len(marks):,} events are marked"
    return f"{events} ({', '.join(severities)})"


def _section(url: str, marks: Sequence[Mark]) -> list[str]:
    lines = [f"## {_code(url)}", ""]
    if is_address(url):
        lines += [
            "To check an event, run its line: it prints the hash of the bytes that the daemon holds, "
            "which must be the hash given here.",
        ]
    else:
        lines += [
            "To check an event, open this file with `audit-tui --db` (a database) or `audit-tui --file` (an export), "
            "go to its number and compare the hash given here.",
        ]
    for mark in marks:
        lines += ["", *_event(url, mark)]
    return lines


def _event(url: str, mark: Mark) -> list[str]:
    lines = [
        f"### {mark.severity.name} {_code(mark.kind)}, event {mark.event_id}",
        "",
        f"- time: {_code(mark.timestamp)}",
        f"- source: {_code(mark.source)}",
        f"- hash: {_code(mark.hash)}",
        f"- marked: {format_rfc3339_ms(mark.marked_at_ms)}",
    ]
    if is_address(url):
        curl = f"curl -s {shlex.quote(f'{url}/events/{mark.event_id}/canonical')} | sha256sum"
        lines.append(f"- check: {_code(curl)}")
    if mark.note:
        lines += ["", *_block(mark.note)]
    return lines


def _order(mark: Mark) -> tuple[bool, int, int]:
    """By the event's own time; what has none that can be read comes last, by number."""
    time_ms = time_ms_or_none(mark.timestamp)
    return time_ms is None, time_ms or 0, mark.event_id


def _code(text: str) -> str:
    """A code span (CommonMark 0.31, section 6.1): delimited by more backticks than stand together within."""
    shown = safe(text) or " "
    fence = "`" * _longer_than_within(shown)
    room = " " if shown.startswith(("`", " ")) or shown.endswith(("`", " ")) else ""
    return f"{fence}{room}{shown}{room}{fence}"


def _block(text: str) -> list[str]:
    """A fenced block (CommonMark 0.31, section 4.5) that only its own last line can end."""
    lines = [safe(line) for line in text.replace("\t", "    ").splitlines()]
    fence = "`" * max([3, *map(_longer_than_within, lines)])
    return [f"{fence}text", *lines, fence]


def _longer_than_within(text: str) -> int:
    return max(map(len, _BACKTICKS.findall(text)), default=0) + 1


def _escaped(text: str) -> str:
    return _MEANINGFUL.sub(r"\\\1", safe(text))
