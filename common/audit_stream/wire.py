"""What a daemon and its clients agree on beside the events: address, media types, limits, the form of a key."""

from __future__ import annotations

__all__ = [
    "DEFAULT_HOST",
    "DEFAULT_PAGE_EVENTS",
    "DEFAULT_PORT",
    "DEFAULT_URL",
    "JSON",
    "KEY_PATTERN",
    "KEY_RULE",
    "MAX_BATCH_BYTES",
    "MAX_BATCH_EVENTS",
    "MAX_EVENT_BYTES",
    "MAX_PAGE_EVENTS",
    "NDJSON",
    "NDJSON_NAMES",
    "URL_VARIABLE",
]

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8093
DEFAULT_URL = f"http://{DEFAULT_HOST}:{DEFAULT_PORT}"
"""Where a daemon without any setting listens."""

URL_VARIABLE = "AUDIT_STREAM_URL"
"""The environment variable that names another one to commands and to the console."""

JSON = "application/json"
NDJSON = "application/x-ndjson"

NDJSON_NAMES = frozenset({NDJSON, "application/ndjson", "application/jsonl"})
"""One event a line has no registered name; these are in use."""

KEY_PATTERN = "[!-~]{1,255}"
"""An Idempotency-Key, whole: visible ASCII characters."""

KEY_RULE = "Idempotency-Key: use 1 to 255 visible ASCII characters"
"""What is said of a key that does not match KEY_PATTERN."""

MAX_EVENT_BYTES = 1 << 20
"""A body of one event: 65,535 canonical bytes can be written with much white space and escapes, but not with more."""

MAX_BATCH_EVENTS = 10_000
MAX_BATCH_BYTES = 16 << 20
"""A body of a batch, which is read, checked and committed as one."""

DEFAULT_PAGE_EVENTS = 1_000
MAX_PAGE_EVENTS = 100_000
"""Events in one answer of `GET /events`, when its limit is not given and at most; as in audit-stream 0.1.0."""
