"""The commands: their names, and what every one of them does with errors.

Each command is a function in a module of its own, named here by a string: it is imported when it is called. A
command returns its exit code (`errors.py`).
"""

from __future__ import annotations

import os
import sys

from audit_stream import __version__
from audit_stream.errors import ClientError
from cyclopts import App, CycloptsError

from audit_daemon.cli.errors import COULD_NOT, OK, CommandError
from audit_daemon.cli.serve import serve
from audit_daemon.cli.terminal import note
from audit_daemon.settings import SettingsError

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
app.command(serve, name="serve")
for name, target, text in (
    ("tail", "tail:tail", "Follow the log live."),
    ("query", "query:query", "Read events that were appended."),
    ("stats", "stats:stats", "Show how many events the log holds, of which kinds and from whom."),
    ("verify", "verify:verify", "Check the whole chain, without a daemon."),
    ("emit", "emit:emit", "Append events: one from the arguments, or many from standard input."),
    ("export", "export:export", "Write the log to a file, from a daemon or from its database."),
    ("import", "import_chain:import_chain", "Make a new database of an exported chain."),
):
    app.command(f"audit_daemon.cli.{target}", name=name, help=text)
app.register_install_completion_command(help="Install completion for your shell: bash, zsh, fish or PowerShell.")


def dispatch(arguments: list[str]) -> int:
    """Run a command; returns its exit code. Every expected error becomes one line on stderr."""
    try:
        code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python's last flush would complain
        return _BROKEN_PIPE
    except CommandError as error:
        note(str(error))
        return error.exit_code
    except (ClientError, SettingsError) as error:
        note(str(error))
        return COULD_NOT
    except CycloptsError as error:
        note(f"{' '.join(str(error).split())} Try --help.")
        return COULD_NOT
    return code if isinstance(code, int) else OK
