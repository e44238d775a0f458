"""Every Python process that the product starts imports what is installed, and nothing from where it was started."""

from __future__ import annotations

import ast
import json
import os
import site
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit_stream import own_python as module
from audit_stream.own_python import own_python

ROOT = Path(__file__).parent.parent

STARTERS = {
    *("create_subprocess_exec", "create_subprocess_shell", "subprocess_exec", "subprocess_shell"),
    *("Popen", "run", "call", "check_call", "check_output", "getoutput", "getstatusoutput"),
    *("system", "popen", "posix_spawn", "posix_spawnp", "fork", "forkpty"),
    *(f"{verb}{how}" for verb in ("exec", "spawn") for how in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")),
}
"""What starts a program, in `asyncio`, `subprocess` and `os`."""


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def starts_another_program(call: ast.Call) -> bool:
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in STARTERS:
        return False
    owner = ast.unparse(call.func.value)
    if (owner, call.func.attr) == ("asyncio", "run"):
        return False
    ours = call.args and isinstance(call.args[0], ast.Starred) and ast.unparse(call.args[0].value).startswith("own_py")
    return owner in ("asyncio", "subprocess", "os") and not ours


@pytest.mark.parametrize("folder", ["common", "daemon", "tui"])
def test_no_other_place_starts_a_process(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert len(files) > 20
    for file in files:
        tree = ast.parse(file.read_text())
        assert [ast.unparse(call) for call in calls(tree) if starts_another_program(call)] == [], file
        for call in calls(tree):
            if ast.unparse(call.func).endswith("multiprocessing.get_context"):
                assert ast.unparse(call.args[0]) == "'fork'", file  # no other starts a program
        prints_it = file.name == "screen.py"  # the farewell of the demo says what to type
        if "sys.executable" in file.read_text():
            assert file.name == "own_python.py" or prints_it, file


LOOK = """
import json, os, sys
print(json.dumps([sys.path, sys.flags.no_user_site, [name for name in sys.modules if "customize" in name]]))
"""


def test_neither_the_working_directory_nor_the_environment_decides_what_is_imported(tmp_path: Path) -> None:
    for name in ("types", "uuid", "sitecustomize", "usercustomize"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from a hostile folder')")
    (tmp_path / "look.py").write_text(LOOK)
    hostile = {"PYTHONPATH": str(tmp_path), "PYTHONHOME": str(tmp_path), "PYTHONUSERBASE": str(tmp_path)}
    command = own_python("look")
    command[-2:] = ["-c", LOOK]
    done = subprocess.run(command, env=os.environ | hostile, cwd=tmp_path, capture_output=True, check=True)
    path, no_user_site, customized = json.loads(done.stdout)
    assert not [entry for entry in path if Path(entry) in (tmp_path, Path()) or entry == ""]
    assert (no_user_site, customized) == (1, [])
    not_found = subprocess.run(own_python("look"), cwd=tmp_path, capture_output=True, check=False)
    assert b"No module named look" in not_found.stderr


def test_what_is_installed_is_found() -> None:
    done = subprocess.run(own_python("audit_tui", "--version"), capture_output=True, check=True)
    assert done.stdout


def test_who_installed_it_among_the_users_own_packages_gets_those_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "ENABLE_USER_SITE", True)
    monkeypatch.setattr(site, "getusersitepackages", lambda: str(Path(module.__file__).parent.parent))
    assert own_python("x") == [sys.executable, "-E", "-P", "-m", "x"]
