"""`audit-stream --install-completion`: completion for a shell. It never changes a file that is the user's."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.completion.detect import ShellDetectionError, detect_shell

from audit_daemon.cli.errors import CommandError
from audit_daemon.cli.terminal import write_line
from audit_stream.display import safe
from audit_stream.paths import typed_path

__all__ = ["install_completion"]

Shell = Literal["bash", "zsh", "fish", "powershell"]


def install_completion(
    *,
    shell: Annotated[Shell | None, Parameter(help="By default the shell that this was started from.")] = None,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"], help="Where to write it instead.")] = None,
) -> int:
    """Write a completion script to where the shell looks for it, and say what else there is to do.

    ```
    audit-stream --install-completion
    audit-stream --install-completion --shell zsh
    ```
    """
    from audit_daemon.cli.commands import app  # which imports this by its name

    try:
        shell = shell or detect_shell()
    except ShellDetectionError:
        raise CommandError("give --shell bash, zsh, fish or powershell: which one this is cannot be told") from None
    if output is not None and not typed_path(output).parent.is_dir():
        raise CommandError(f"cannot write {output}: there is no directory {output.parent}")
    try:
        path = app.install_completion(shell=shell, output=output and typed_path(output), add_to_startup=False)
    except OSError as error:
        raise CommandError(f"cannot write {error.filename}: {error.strerror}") from None
    write_line(f"written: {safe(str(path))}")
    if shell != "fish":
        write_line(f"if a new shell does not complete, add to {_startup(shell, path)}")
    return 0


def _startup(shell: Shell, path: Path) -> str:
    """The file that the shell reads when it starts, and what to add to it."""
    quoted = shlex.quote(str(path))
    if shell == "bash":
        return f"~/.bashrc: . {quoted}"
    if shell == "zsh":
        return (
            f"the start of ~/.zshrc: fpath=({shlex.quote(str(path.parent))} $fpath); autoload -U compinit && compinit"
        )
    return f"$PROFILE.CurrentUserAllHosts: . {quoted}"
