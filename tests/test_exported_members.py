"""`__all__` is what other modules may take, and nothing that is not there."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = [ROOT / "common" / "audit_stream", ROOT / "daemon" / "audit_daemon", ROOT / "tui" / "audit_tui"]


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


TREES = {_name(path): ast.parse(path.read_text()) for package in PACKAGES for path in sorted(package.rglob("*.py"))}


def exported(module: str) -> list[str]:
    """The names in a module's `__all__`; none when it has no such list."""
    for node in TREES[module].body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names: list[str] = ast.literal_eval(node.value)
            return names
    return []


def defined(nodes: list[ast.stmt]) -> Iterator[str]:
    """The names that statements at the top of a module bind."""
    for node in nodes:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Assign(targets=targets):
                yield from (name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                yield from (each.asname or each.name.partition(".")[0] for each in names)
            case ast.If(body=body, orelse=orelse):
                yield from defined(body + orelse)


def taken() -> Iterator[tuple[str, str, str]]:
    """User, module and name of what is taken from a module of ours: `from m import name`, and `m.name`."""
    for user, tree in TREES.items():
        modules = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module in TREES:
                for each in node.names:
                    if f"{node.module}.{each.name}" in TREES:
                        modules[each.asname or each.name] = f"{node.module}.{each.name}"
                    else:
                        yield user, node.module, each.name
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
                yield user, modules[node.value.id], node.attr


def test_all_packages_are_read() -> None:
    assert {"audit_stream.chain", "audit_daemon.http.ingest", "audit_daemon", "audit_tui.model.rows"} <= TREES.keys()
    assert len(set(taken())) > 100


@pytest.mark.parametrize("module", TREES)
def test_what_is_exported_exists(module: str) -> None:
    names = exported(module)
    assert set(names) <= set(defined(TREES[module].body))
    assert len(names) == len(set(names))


def test_what_modules_take_from_one_another_is_exported() -> None:
    missing = sorted({f"{user}: {module}.{name}" for user, module, name in taken() if name not in exported(module)})
    assert not missing
