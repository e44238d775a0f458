"""Loaded by schemathesis itself (see test_schema.py)."""

from __future__ import annotations

from itertools import count
from typing import Any

import schemathesis

from audit_stream.filters import FilterError, parse
from audit_stream.filters.parser import MAX_TEXT_LENGTH

_numbers = count()


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]) -> None:
    """What no schema can say: no Idempotency-Key comes twice with another body, and a filter has its own syntax."""
    key = case.headers.get("Idempotency-Key")
    if isinstance(key, str) and 0 < len(key) < 200 and all("!" <= character <= "~" for character in key):
        case.headers["Idempotency-Key"] = f"{key}{next(_numbers)}"
    text = case.query.get("q")
    if isinstance(text, str) and len(text) <= MAX_TEXT_LENGTH:
        try:
            parse(text, now_ms=0)
        except FilterError:
            case.query["q"] = "word"
