"""`docs/filters.md` shows filters that parse and the message that users get."""

import re
from pathlib import Path

import pytest

from audit_stream.filters import FilterError, parse
from audit_stream.filters.parser import MAX_PATH_KEYS, MAX_TEXT_LENGTH, MAX_VALUES

PAGE = (Path(__file__).parents[2] / "docs" / "filters.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)\n```$", PAGE, re.MULTILINE | re.DOTALL)


EXAMPLES = [line for block in blocks("filter") for line in block.splitlines()]
# Of the table of fields, the third column; in the text, what stands in code quotes and starts with a field.
EXAMPLES += re.findall(r"`(-?(?:kind|source|severity|id|since|until|payload\.[^`<:]+):[^`…]+)`", PAGE)


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_example_parses(text: str) -> None:
    assert parse(text, now_ms=1_780_000_000_000).terms


def test_the_page_has_examples_of_every_field() -> None:
    assert {"kind:request_denied", "source:policy-*", "severity:>=warning", "id:42", "since:15m"} <= set(EXAMPLES)


def test_the_mistake_on_the_page_gets_the_message_on_the_page() -> None:
    (text,), (message,) = blocks("error"), blocks("message")
    with pytest.raises(FilterError) as caught:
        parse(text, now_ms=0)
    assert str(caught.value) == message


@pytest.mark.parametrize("limit", [MAX_TEXT_LENGTH, MAX_VALUES, MAX_PATH_KEYS])
def test_the_page_names_the_limits(limit: int) -> None:
    assert f"at most {limit:,} " in PAGE
