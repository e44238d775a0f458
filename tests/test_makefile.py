"""What make says before it does anything."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[1] / "Makefile"
TARGETS = sorted(
    {name for line in re.findall(r"^\.PHONY: (.*)$", MAKEFILE.read_text(), re.MULTILINE) for name in line.split()}
)

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make as a user does, also when these tests were started by make, which hands its own state on."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", "--dry-run", "-f", str(MAKEFILE), *arguments],
        cwd=MAKEFILE.parent, env=environment, capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip


def python(directory: Path, version: str) -> str:
    """A program that says that it is Python of this version, and does nothing else."""
    path = directory / f"python{version}"
    path.write_text(f"#!/bin/sh\necho {version}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("target", [target for target in TARGETS if target not in ("help", "clean")])
def test_every_target_says_in_one_line_that_python_is_too_old(tmp_path: Path, target: str) -> None:
    for interpreter, reason in ((python(tmp_path, "3.10"), "is Python 3.10"), ("no-such-python", "there is no ")):
        done = make(target, f"PYTHON={interpreter}")
        assert done.returncode != 0
        assert done.stdout == ""
        (line,) = done.stderr.splitlines()
        assert reason in line
        assert f"make {target} PYTHON=python3.12" in line


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14"])
def test_a_python_that_is_new_enough_is_taken(tmp_path: Path, version: str) -> None:
    done = make("demo", f"PYTHON={python(tmp_path, version)}")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("target", [[], ["help"], ["clean"]])
def test_help_needs_no_python(target: list[str]) -> None:
    assert make(*target, "PYTHON=no-such-python").returncode == 0
