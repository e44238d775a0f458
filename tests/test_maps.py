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


def test_the_design_names_only_files_that_are_there() -> None:
    there = {path.name for top in TOPS for path in (ROOT / top).rglob("*.py")}
    assert named_in((ROOT / "docs" / "design.md").read_text()) <= there
