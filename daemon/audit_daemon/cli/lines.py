"""An event as one line for people: `#42 12:01:03.123 WARNING request_denied policy-as-code-engine decision=deny`.

Everything that came from outside is escaped (`display.safe`); `--json` gives the event itself.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime

from audit_daemon.cli.terminal import clip, colour_wanted, columns, paint, write, write_line
from audit_stream.client import RawEvent
from audit_stream.display import payload_summary, safe
from audit_stream.errors import TimestampError
from audit_stream.event import Event
from audit_stream.kinds import DEFAULT_KINDS, KindRegistry, Severity
from audit_stream.timestamps import format_rfc3339_ms, parse_rfc3339_ms

__all__ = ["event_line", "print_event"]

_SGR = {Severity.INFO: "32", Severity.NOTICE: "36", Severity.WARNING: "33", Severity.CRITICAL: "1;31"}
_DIM = "2"


def print_event(event: RawEvent, kinds: KindRegistry, *, json: bool) -> None:
    """Put an event on stdout: as it was served, or as a line for people. `kinds` tell the severity.

    On a terminal the line is cut to its width.
    """
    if json:
        write(event.raw + b"\n")
    else:
        today = datetime.now(UTC).date().isoformat()
        line = event_line(event.decode(), today=today, kinds=kinds, colour=colour_wanted(sys.stdout))
        write_line(clip(line, columns()) if sys.stdout.isatty() else line)


def event_line(event: Event, *, today: str, colour: bool, kinds: KindRegistry = DEFAULT_KINDS) -> str:
    """The line, without its end. Times are UTC; the date is left out when it is `today` (YYYY-MM-DD)."""
    severity = kinds.severity(event.kind)
    sgr = _SGR[severity] if colour else ""
    pieces = [
        paint(f"#{event.event_id}", _DIM if colour else ""),
        paint(_time(event.timestamp, today), _DIM if colour else ""),
        paint(severity.name, sgr),
        paint(safe(event.kind), sgr),
        safe(event.source),
        *payload_summary(event.payload),
    ]
    return " ".join(pieces)


def _time(timestamp: str, today: str) -> str:
    try:
        utc = format_rfc3339_ms(parse_rfc3339_ms(timestamp))
    except (TimestampError, OverflowError):  # an imported event may have any text here
        return safe(timestamp)
    date, _, time_of_day = utc.removesuffix("+00:00").partition("T")
    return time_of_day if date == today else f"{date} {time_of_day}"
