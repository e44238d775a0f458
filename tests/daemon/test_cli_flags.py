"""The daemon's flags: one list, two ways to read them, one page that explains them."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from audit_daemon.cli.commands import app
from audit_daemon.cli.options import selection
from audit_daemon.cli.start import read_flags
from audit_daemon.settings import FIELDS, Field, Settings
from tests.daemon.command_line import call, call_process, environment

SETTINGS_PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
COMMANDS_PAGE = Path(__file__).parents[2] / "docs" / "commands.md"


def parsed_by_cyclopts(arguments: list[str]) -> dict[str, str]:
    _, bound, *_ = app.parse_args(arguments, exit_on_error=False, print_error=False)
    flags: dict[str, Any] = dataclasses.asdict(bound.arguments["flags"]) if bound.arguments else {}
    return {name: value for name, value in flags.items() if value is not None}


def test_every_setting_is_a_field_and_has_a_flag() -> None:
    assert [field.name for field in FIELDS] == list(Settings.__struct_fields__)
    flags = [flag for field in FIELDS for flag in (field.flag, "text")]
    assert call("serve", "--help").code == 0
    assert parsed_by_cyclopts(flags) == {field.name: "text" for field in FIELDS}


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_every_setting_is_on_its_page(field: Field) -> None:
    row = next((line for line in SETTINGS_PAGE.read_text().splitlines() if line.startswith(f"| `{field.flag}` ")), "")
    assert f"`{field.variable}`" in row
    assert f"`{field.key}`" in row
    assert field.default in row


def test_every_setting_is_in_the_help() -> None:
    help_text = call("serve", "--help").out
    assert all(field.flag in help_text for field in FIELDS)


def test_every_command_is_on_its_page() -> None:
    page = COMMANDS_PAGE.read_text()
    commands = [name for name in app if not name.startswith("-")]
    assert len(commands) == 9
    assert [
        name for name in commands if f"## audit-stream {name}" not in page and f"`audit-stream {name}`" not in page
    ] == []


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["serve"],
        ["--port", "9000"],
        ["--port=9000", "--host", "::1"],
        ["serve", "--db", "a b.db", "--extra-kinds=quota_exceeded:warning"],
        ["--cors-origins", "*", "--anonymous", ""],
        ["--db=--odd"],
    ],
)
def test_the_short_way_reads_flags_as_the_command_line_library_does(arguments: list[str]) -> None:
    assert read_flags(arguments) == parsed_by_cyclopts(arguments)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--port"], ["--prot", "1"], ["tail"], ["serve", "x"], ["--port", "1", "--port", "2"]]
)
def test_all_else_is_left_to_the_command_line_library(arguments: list[str]) -> None:
    assert read_flags(arguments) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "http"], "audit-stream: --port: use a port number from 0 to 65535"),
        (["--extra-kinds", "No"], "audit-stream: --extra-kinds: "),
        (["serve", "--verify-interval-s=often"], "audit-stream: --verify-interval-s: use a number"),
        (["--prot", "1"], "audit-stream: Unknown option: --prot. Did you mean --port?"),
        (["--port"], "audit-stream: Parameter --port requires an argument."),
        (["frob"], "audit-stream: there is no command 'frob': the commands are serve, tail, "),
        (["tial"], "audit-stream: there is no command 'tial': did you mean tail?\n"),
        (["stats", "x"], "audit-stream: stats takes no argument 'x'; try audit-stream stats --help\n"),
        (
            ["verify", "full.json"],
            "audit-stream: verify takes no file by itself: --db FILE for a database; to check an export: "
            "audit-stream import full.json --db check.db && audit-stream verify --db check.db\n",
        ),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments: list[str], message: str) -> None:
    outcome = call(*arguments)
    assert outcome.code == 2
    assert outcome.err.startswith(message)
    assert outcome.err.count("\n") == 1
    assert outcome.out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tail", "-f"], """unknown option -f; to leave out events that contain "f", write '-"f"'"""),
        (["query", "-n", "5"], """unknown option -n; to leave out events that contain "n", write '-"n"'"""),
        (["export", "-f", "ndjson"], """unknown option -f; to leave out events that contain "f", write '-"f"'"""),
        (["query", "kind:other", "--knid=x"], "unknown option --knid=x: did you mean --kind?"),
        (["tail", "--knid", "x"], "unknown option --knid: did you mean --kind?"),
        (["export", "--zzzzz"], "unknown option --zzzzz; try audit-stream export --help"),
        (["query", "kind:a", "OR", "kind:b"], "filters have no OR: write a comma for or: kind:a,b, "),
        (["tail", "kind:a AND kind:b"], "filters have no AND: write a comma for or: kind:a,b, "),
        (["export", "NOT", "kind:a"], "filters have no NOT: write a comma for or: kind:a,b, "),
    ],
)
def test_what_is_rather_a_mistyped_option_or_operator_is_never_searched_for(arguments: list[str], message: str) -> None:
    outcome = call(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"audit-stream: {message}")
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("word", ['-"f"', "-5", "-ab", "-kind:other", '"this OR that"', "or", "ORDER"])
def test_what_could_be_taken_for_an_option_or_operator_can_be_searched_for(word: str) -> None:
    assert selection((word,), None, None).q == word


def test_a_mistake_in_a_variable_names_the_variable() -> None:
    outcome = call_process(env=environment(PORT="none"))
    assert outcome == (2, "", "audit-stream: PORT: use a port number from 0 to 65535; 0 takes any free one\n")


def test_starting_the_daemon_loads_neither_the_command_line_library_nor_the_client() -> None:
    program = (
        "import json, sys, audit_daemon.server; from audit_daemon.cli.app import run; run(['--port', 'x']);"
        "print(json.dumps(sorted(sys.modules)))"
    )
    loaded = json.loads(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout)
    assert "audit_daemon.server" in loaded
    assert {"cyclopts", "httpx", "rich.progress", "textual"}.isdisjoint(loaded)


def test_the_version_is_printed() -> None:
    assert call("--version").out == "0.2.0\n"


@pytest.mark.parametrize("command", ["", "serve", "tail", "query", "stats", "verify", "emit", "export", "import"])
def test_every_command_has_help_with_examples(command: str) -> None:
    outcome = call(*filter(None, [command]), "--help")
    assert outcome.code == 0
    assert f"audit-stream {command}".strip() in outcome.out.partition("Usage:")[2].partition("\n")[2]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_installed_for_a_shell(shell: str, tmp_path: Path) -> None:
    script = tmp_path / "script"
    outcome = call_process(
        "--install-completion", "--shell", shell, "--output", str(script), env=environment(HOME=str(tmp_path))
    )
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith(f"written: {script}\n")
    assert "verify-interval-s" in script.read_text()
    assert "retry-for" in script.read_text()


@pytest.mark.parametrize(("shell", "startup"), [("bash", ".bashrc"), ("zsh", ".zshrc")])
def test_completion_changes_no_file_of_the_user_but_says_what_to_add(shell: str, startup: str, tmp_path: Path) -> None:
    (tmp_path / startup).write_text("mine\n")
    outcome = call_process("--install-completion", "--shell", shell, env=environment(HOME=str(tmp_path)))
    assert outcome.code == 0, outcome.err
    assert startup in outcome.out
    written = outcome.out.partition("\n")[0].removeprefix("written: ")
    files = {str(path) for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {str(tmp_path / startup), written}
    assert (tmp_path / startup).read_text() == "mine\n"


def test_completion_makes_no_mistyped_directory(tmp_path: Path) -> None:
    outcome = call("--install-completion", "--shell", "bash", "--output", str(tmp_path / "typo" / "script"))
    assert outcome == (
        2,
        "",
        f"audit-stream: cannot write {tmp_path}/typo/script: there is no directory {tmp_path}/typo\n",
    )
