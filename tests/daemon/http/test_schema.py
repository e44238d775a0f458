"""The OpenAPI description and the daemon, held to each other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest

from audit_daemon.http.app import create_app
from tests.daemon_process import start_daemon

METHODS = {"get", "post", "put", "patch", "delete", "head", "options", "trace"}


@pytest.fixture(scope="module")
def schema(client: httpx.Client) -> dict[str, Any]:
    document: dict[str, Any] = client.get("/schema").raise_for_status().json()
    return document


def operations(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in schema["paths"].items():
        for method in item:
            yield path, method, item[method]


def every(node: object, key: str) -> Iterator[Any]:
    """The values of a key wherever it stands in a document."""
    if isinstance(node, dict):
        if key in node:
            yield node[key]
        node = list(node.values())
    for child in node if isinstance(node, list) else ():
        yield from every(child, key)


def test_the_daemon_answers_as_its_schema_says_whatever_is_sent(tmp_path: Path) -> None:
    """All phases of schemathesis, with data that fits the schema and data that does not. Streams never end."""
    hooks = str(Path(__file__).with_name("schemathesis_hooks.py"))
    with start_daemon(tmp_path / "audit.db") as daemon:
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{daemon.url}/schema", "--no-color"]
        run = subprocess.run(
            [*command, "--mode=all", "--checks=all", "--max-examples=20", "--seed=1", "--exclude-path-regex=stream$"],
            env={**os.environ, "SCHEMATHESIS_HOOKS": hooks},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stdout + run.stderr
        assert httpx.get(f"{daemon.url}/verify").json()["valid"] is True


def test_the_schema_lists_exactly_the_routes_of_the_daemon(schema: dict[str, Any]) -> None:
    routes = create_app(lambda _: nullcontext()).routes
    served = {
        (route.path_format, str(method).lower())
        for route in routes
        for method in getattr(route, "methods", ())
        if method != "OPTIONS"
    }
    assert {(path, method) for path, method, _ in operations(schema)} == served


def test_the_first_page_lists_exactly_the_routes_of_the_schema(schema: dict[str, Any], client: httpx.Client) -> None:
    listed = {tuple(endpoint.split()) for endpoint in client.get("/").json()["endpoints"]}
    assert listed == {(method.upper(), path.replace("{event_id}", "{id}")) for path, method, _ in operations(schema)}


def test_the_schema_is_openapi_3_1(schema: dict[str, Any]) -> None:
    assert schema["openapi"] == "3.1.0"
    assert schema["info"].keys() >= {"title", "version"}
    assert all(path.startswith("/") for path in schema["paths"])
    assert {method for _, method, _ in operations(schema)} <= METHODS


def test_every_operation_says_what_it_takes_and_answers(schema: dict[str, Any]) -> None:
    for path, method, operation in operations(schema):
        where = f"{method} {path}"
        assert operation["summary"], where
        assert any(status.startswith("2") for status in operation["responses"]), where
        for parameter in operation["parameters"]:
            assert parameter["in"] in ("path", "query", "header"), where
            assert "schema" in parameter, where
        in_path = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"}
        assert in_path == set(re.findall(r"\{(\w+)\}", path)), where
        names = [(parameter["in"], parameter["name"]) for parameter in operation["parameters"]]
        assert len(names) == len(set(names)), where
        for response in operation["responses"].values():
            assert "$ref" in response or response["description"], where


def test_every_reference_of_the_schema_leads_somewhere(schema: dict[str, Any]) -> None:
    for reference in every(schema, "$ref"):
        node: Any = schema
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


def test_every_schema_in_it_is_a_json_schema(schema: dict[str, Any]) -> None:
    found = [*every(schema["paths"], "schema"), *schema["components"]["schemas"].values()]
    assert len(found) > 20
    for each in found:
        jsonschema_rs.meta.validate(each)


REPORTS = {
    "/": "Service",
    "/healthz": "Liveness",
    "/readyz": "Readiness",
    "/verify": "Verdict",
    "/stats": "Stats",
    "/events/1": "Event",
    "/events/1/canonical": "CanonicalEvent",
    "/nothing": "ProblemDetails",
}


@pytest.mark.parametrize(("target", "name"), REPORTS.items())
def test_a_report_has_the_fields_of_its_schema_and_no_others(
    schema: dict[str, Any], client: httpx.Client, target: str, name: str
) -> None:
    client.post("/events", json={"kind": "other", "source": "s"}).raise_for_status()
    assert client.get("/verify").json()["valid"] is True  # so that /stats has a verdict to show
    answer = client.get(target).json()
    assert answer.keys() == schema["components"]["schemas"][name]["properties"].keys()
    jsonschema_rs.validate({"$ref": f"#/components/schemas/{name}", "components": schema["components"]}, answer)


def test_every_error_of_the_schema_is_a_problem_document(schema: dict[str, Any]) -> None:
    for response in schema["components"]["responses"].values():
        assert list(response["content"]) == ["application/problem+json"]


def test_the_schema_is_served_as_openapi(client: httpx.Client) -> None:
    assert client.get("/schema").headers["content-type"] == "application/vnd.oai.openapi+json"
