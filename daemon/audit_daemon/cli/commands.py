"""The commands: their names, and what every one of them does with errors.

Each command is a function in a module of its own, named here by a string: it is imported when it is called or when
the overview is shown. A command returns its exit code (`errors.py`).
"""

from __future__ import annotations

import difflib
import os
import re
import shlex
import sys

from cyclopts import App, CycloptsError, UnusedCliTokensError

from audit_daemon.cli.errors import COULD_NOT, OK, CommandError, UnknownOption
from audit_daemon.cli.serve import serve
from audit_daemon.cli.terminal import note
from audit_daemon.settings import SettingsError
from audit_stream import __version__
from audit_stream.errors import ClientError

__all__ = ["app", "dispatch"]

_BROKEN_PIPE = 141
"""128 + SIGPIPE: what a shell reports of any other program whose reader has gone, such as `| head`."""

app = App(
    name="audit-stream",
    version=__version__,
    help="The tamper-evident event spine: one durable, hash-chained log. Without a command it starts the daemon.",
    help_epilogue="`audit-stream COMMAND --help` explains a command, with examples.",
    help_format="markdown",
    suppress_keyboard_interrupt=False,
)
app.default(serve)
app.command(serve, name="serve", help_epilogue="")
for name, function in (
    ("tail", "tail:tail"),
    ("query", "query:query"),
    ("stats", "stats:stats"),
    ("verify", "verify:verify"),
    ("emit", "emit:emit"),
    ("export", "export:export"),
    ("import", "import_chain:import_chain"),
    ("demo", "demo.command:demo"),
):
    app.command(f"audit_daemon.cli.{function}", name=name, help_epilogue="")
app.command("audit_daemon.cli.completion:install_completion", name="--install-completion", help_epilogue="")


def dispatch(arguments: list[str]) -> int:
    """Run a command; returns its exit code. Every expected error becomes one line on stderr."""
    try:
        if arguments[:1] and arguments[0] in app.help_flags:
            for command in app:
                app[command]  # import it: the overview quotes its docstring
        code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
        return _BROKEN_PIPE
    except SystemExit:  # rich's, for a reader of the help that has gone; nothing else here exits
        return _BROKEN_PIPE
    except OSError as error:
        _drop_output()
        note(f"cannot write: {error.strerror or error}")
        return COULD_NOT
    except UnknownOption as error:
        advice = error.advice or _near_option(arguments[0], error.option) or f"try audit-stream {arguments[0]} --help"
        note(f"{error}{':' if advice.startswith('did') else ';'} {advice}")
        return COULD_NOT
    except CommandError as error:
        note(str(error))
        return error.exit_code
    except (ClientError, SettingsError) as error:
        note(str(error))
        return COULD_NOT
    except UnusedCliTokensError as error:
        note(_unused(arguments[0], (error.unused_tokens or arguments)[0]))
        return COULD_NOT
    except CycloptsError as error:
        note(f"{' '.join(str(error).split())} Try --help.")
        return COULD_NOT
    return code if isinstance(code, int) else OK


def _drop_output() -> None:
    """Write nothing more, or Python's last flush would complain about what it still holds."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _unused(command: str, argument: str) -> str:
    """What to say of an argument that the command has no use for."""
    commands = [name for name in app if not name.startswith("-")]
    if command == "verify":
        file = shlex.quote(argument)
        return (
            "verify takes no file by itself: --db FILE for a database; to check an export: "
            f"audit-stream import {file} --db check.db && audit-stream verify --db check.db"
        )
    if command in commands:
        return f"{command} takes no argument {argument!r}; try audit-stream {command} --help"
    near = difflib.get_close_matches(argument, commands, 1)
    advice = f"did you mean {near[0]}?" if near else f"the commands are {', '.join(commands)}"
    return f"there is no command {argument!r}: {advice}"


def _near_option(command: str, option: str) -> str:
    """What was meant by an option that the command does not have; "" when nothing is like it."""
    names = [name for argument in app[command].assemble_argument_collection() for name in argument.names]
    near = difflib.get_close_matches(re.split("[=:]", option)[0], [name for name in names if name.startswith("--")], 1)
    return f"did you mean {near[0]}?" if near else ""
