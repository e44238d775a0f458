"""The maps: a package's docstring that names files names all of them, and none that is not there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOPS = ("common", "daemon", "tui", "tests", "benchmarks", "docs")
PACKAGES = sorted(path.parent for top in TOPS for path in (ROOT / top).rglob("__init__.py"))
MODULE = re.compile(r"\b(\w+\.py)\b")


def named_in(text: str) -> set[str]:
    return set(MODULE.findall(text))


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_map_of_a_package_is_true(package: Path) -> None:
    docstring = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""
    named = named_in(docstring)
    there = {path.name for path in package.glob("*.py")} - {"__init__.py"}
    if len(named) > 1:
        assert named == there


@pytest.mark.parametrize("page", ["docs/design.md", "CONTRIBUTING.md"])
def test_the_pages_for_developers_name_only_files_that_are_there(page: str) -> None:
    there = {path.name for top in TOPS for path in (ROOT / top).rglob("*.py")}
    named = named_in((ROOT / page).read_text())
    assert named
    assert named <= there


@pytest.mark.parametrize("page", ["docs/design.md", "CONTRIBUTING.md"])
def test_a_path_in_a_page_for_developers_leads_to_a_file(page: str) -> None:
    """As it is written, from the top or from within a package: `http/ingest.py`, `tests/test_maps.py`."""
    there = [f"/{path.relative_to(ROOT)}" for top in TOPS for path in (ROOT / top).rglob("*.py")]
    paths = re.findall(r"`((?:\w+/)+\w+\.py)`", (ROOT / page).read_text())
    assert paths
    assert [path for path in paths if not any(each.endswith(f"/{path}") for each in there)] == []
