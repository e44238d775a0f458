"""What the daemon takes, and where that is told: the schema, `GET /`, README and the design page, both ways."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DESIGN = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def schema(client: httpx.Client) -> dict[str, Any]:
    document: dict[str, Any] = client.get("/schema").json()
    return document


@pytest.fixture(scope="module")
def taken(client: httpx.Client, schema: dict[str, Any]) -> dict[str, set[str]]:
    """The query parameters of each path as the daemon itself names them, to who asks for one that it does not have."""
    found = {}
    for path, operations in schema["paths"].items():
        if "get" in operations:
            answer = client.get(path.replace("{event_id}", "1"), params={"no_such_parameter": "1"})
            assert answer.status_code == 400
            known = answer.json()["detail"].partition("known: ")[2]
            found[path] = set() if known == "none here" else set(known.split(", "))
    return found


def test_the_schema_tells_every_query_parameter_and_no_other(
    schema: dict[str, Any], taken: dict[str, set[str]]
) -> None:
    told = {
        path: {each["name"] for each in schema["paths"][path]["get"]["parameters"] if each["in"] == "query"}
        for path in taken
    }
    assert told == taken


def test_a_parameter_that_is_told_is_really_taken(client: httpx.Client, taken: dict[str, set[str]]) -> None:
    """Each with a text that none of them takes: the refusal is of the text, not of the name."""
    for path in ("/events", "/stream", "/events/stream"):
        for name in taken[path] - {"source"}:
            detail = client.get(path, params={name: "\x00:"}).json()["detail"]
            assert name in detail
            assert "unknown parameter" not in detail


def test_the_first_page_tells_every_query_parameter_and_no_other(
    client: httpx.Client, taken: dict[str, set[str]]
) -> None:
    page = client.get("/").json()["endpoints"]
    told = {}
    for route, text in page.items():
        method, path = route.split()
        words = re.search(r"\(([\w /]+)\)$", text)
        if method == "GET":
            told[path.replace("{id}", "{event_id}")] = set(words[1].split(" / ")) if words else set()
    told["/events/stream"] = told["/stream"]  # "the same"
    assert told == taken


def test_readme_tells_every_query_parameter_and_no_other(taken: dict[str, set[str]]) -> None:
    (table,) = re.findall(r"^\| parameter \|.*\n\|---\|---\|\n((?:^\|.*\n)+)", README, re.MULTILINE)
    cells = "".join(line.split("|")[1] for line in table.splitlines())
    assert set(re.findall(r"`(\w+)`", cells)) == taken["/events"]
    (stream,) = re.findall(r"^\*\*`GET /stream`\*\*.*?\n\n", README, re.MULTILINE | re.DOTALL)
    assert (
        set(re.findall(r"`([a-z_]+)`", stream)) - {"event", "id", "data"} == taken["/stream"] == taken["/events/stream"]
    )


def test_the_design_page_tells_every_query_parameter(taken: dict[str, set[str]]) -> None:
    rows = dict(re.findall(r"^\| `GET (/\S*?)`[^|]*\|(.*)\|$", DESIGN, re.MULTILINE))
    assert {name for name in taken["/events"] if f"`{name}`" not in rows["/events"]} == set()


def test_readme_and_the_design_page_tell_every_header_that_is_read(schema: dict[str, Any]) -> None:
    headers = {
        each["name"]
        for operations in schema["paths"].values()
        for operation in operations.values()
        for each in operation["parameters"]
        if each["in"] == "header"
    }
    assert {"Idempotency-Key", "Last-Event-ID"} <= headers
    assert [name for name in headers if f"`{name}`" not in README or f"`{name}`" not in DESIGN] == []


def test_readme_and_the_design_page_tell_every_route_and_no_other(schema: dict[str, Any]) -> None:
    routes = {path.replace("{event_id}", "{id}") for path in schema["paths"]}
    asked = {
        path.replace("/events/1", "/events/{id}") for path in re.findall(r"http://127\.0\.0\.1:8093(/[\w/]*)", README)
    }
    named = set(re.findall(r"`(?:GET|POST) (/[\w/{}]*)`", README))
    assert asked | named == routes
    rows = "".join(re.findall(r"^\| `(?:GET|POST) .*$", DESIGN, re.MULTILINE))
    design = re.findall(r"`(?:GET |POST )?(/[a-z/{}]*)`", rows)
    assert {path for path in routes if path not in design} == set()
