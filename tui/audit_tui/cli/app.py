"""The `audit-tui` command: what it is given, and what becomes of the terminal."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from audit_stream.wire import DEFAULT_URL, URL_VARIABLE

if TYPE_CHECKING:
    from audit_tui.app import Opening
    from audit_tui.storage.config import Config
    from audit_tui.user_data import UserData

__all__ = ["main"]

_EPILOG = """\
audit-tui                                the daemon of this machine, or of AUDIT_STREAM_URL
audit-tui http://10.20.0.5:8093
audit-tui --db audit.db                  a database file, without a daemon
audit-tui --file export.jsonl            an export
audit-tui check evidence.json            check an evidence bundle or an export
"""


def main(argv: list[str] | None = None) -> int:
    """Open the console, or check a file; returns the exit code: 0, or 1 for a finding, 2 for what cannot be done."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments[:1] == ["check"]:
        return _check(arguments[1:])
    chosen = _parser().parse_args(arguments)
    if not (sys.stdout.isatty() and sys.stdin.isatty()):
        return _fail("this is no terminal: use `audit-stream tail`, which understands the same filters")
    gc.disable()  # nothing that is imported is garbage: a tenth of the time to the first frame
    # Where click is installed, which uvicorn brings, httpx imports a command line of its own with pygments and much of
    # rich: 20 ms and 3.5 MB. Without this module it goes on without.
    sys.modules["httpx._main"] = None  # type: ignore[assignment]
    return _open(chosen)


def _parser() -> argparse.ArgumentParser:
    from audit_stream import __version__

    parser = argparse.ArgumentParser(
        prog="audit-tui",
        description="The console for audit-stream: watch the log live, search it, and see whether it holds.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("url", nargs="?", metavar="URL", help=f"the daemon (default {DEFAULT_URL}), or a profile")
    parser.add_argument("--db", metavar="FILE", help="read a daemon's database file instead")
    parser.add_argument("--file", metavar="FILE", help="read an export (JSONL) instead")
    parser.add_argument("--filter", type=_filter, default="", metavar="FILTER", help="begin with this filter")
    parser.add_argument(
        "--verify-every",
        type=_seconds,
        metavar="SECONDS",
        help="how often the chain is verified (default 30, or what the profile says; less often on a long chain)",
    )
    parser.add_argument("--version", action="version", version=f"audit-tui {__version__}")
    return parser


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0.1 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0.1 to 86400")
    return seconds


def _filter(text: str) -> str:
    if text:  # the default comes here too, and the parser takes long to load
        from audit_stream.display import safe
        from audit_stream.event import system_clock_ms
        from audit_stream.filters import FilterError, parse

        try:
            parse(text, now_ms=system_clock_ms())
        except FilterError as error:
            raise argparse.ArgumentTypeError(f"{safe(text)}: {safe(str(error))}") from None
    return text


def _check(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="audit-tui check",
        description="Check an evidence bundle or an export, without a daemon or a screen.",
        epilog="The exit code is 0 when all holds, 1 when something does not, 2 for what is neither or cannot be read.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="what `E` or `e` in the console has written")
    chosen = parser.parse_args(arguments)
    from audit_tui.cli.check import check_file

    return check_file(chosen.file, out=sys.stdout)


def _open(chosen: argparse.Namespace) -> int:
    if sum(given is not None for given in (chosen.url, chosen.db, chosen.file)) > 1:
        return _fail("give one of an address, --db and --file")
    from audit_stream.errors import AuditStreamError
    from audit_tui.storage.config import load
    from audit_tui.storage.paths import config_path, state_directory
    from audit_tui.user_data import UserData

    try:
        user_data = UserData(load(config_path(os.environ), _checked_keys), state_directory(os.environ))
        opening = _opening(chosen, user_data)
        asyncio.run(_try(opening))
    except AuditStreamError as error:
        return _fail(str(error))
    user_data.load()
    return _run(opening, user_data)


def _checked_keys(remapped: Mapping[str, str]) -> dict[str, str]:
    from audit_tui.keymap import checked_keys  # imports every screen, for those who remap keys

    return checked_keys(remapped)


def _opening(chosen: argparse.Namespace, user_data: UserData) -> Opening:
    from audit_stream.client import Client, base_url
    from audit_stream.errors import ClientError
    from audit_tui.app import Opening
    from audit_tui.log import Log
    from audit_tui.offline.recognise import said_of_file

    async def daemon(url: str) -> Log:
        return Client(url)

    async def database(path: str) -> Log:
        from audit_tui.offline import DatabaseLog

        return await DatabaseLog.open(Path(path))

    async def export(path: str) -> Log:
        from audit_tui.offline import ExportLog

        return await ExportLog.open(Path(path))

    common = {"verify_every_s": chosen.verify_every, "filter": chosen.filter}
    if (wrong := _wrong_option(chosen)) is not None:
        raise ClientError(wrong)
    if chosen.db is not None:
        return Opening(url=str(Path(chosen.db)), open_log=database, is_offline=True, **common)
    if chosen.file is not None:
        return Opening(url=str(Path(chosen.file)), open_log=export, is_offline=True, **common)
    config = user_data.config
    named = chosen.url or os.environ.get(URL_VARIABLE) or config.default_profile or DEFAULT_URL
    profile = config.profiles.get(named)
    if profile is None and (file := said_of_file(named)) is not None:
        raise ClientError(f"{'' if chosen.url else f'{URL_VARIABLE}: '}{file}")
    if profile is None and _is_bare(named):
        raise ClientError(_no_profile(named, config, "" if chosen.url else f"{URL_VARIABLE}: "))
    return Opening(url=base_url(named if profile is None else profile.url), open_log=daemon, **common)


def _wrong_option(chosen: argparse.Namespace) -> str | None:
    """What to say of an option that was given what belongs to another."""
    from audit_tui.offline.recognise import BUNDLE, DATABASE, EXPORT, kind_of

    option, given = ("--db", chosen.db) if chosen.db is not None else ("--file", chosen.file)
    if given is None:
        return None
    if given.lower().startswith(("http://", "https://")):
        return f"{option} takes a file, and {given!r} is an address: leave {option} out"
    kind, path = kind_of(Path(given)), shlex.quote(given)
    if kind == BUNDLE:
        return f"{given} is an evidence bundle: `audit-tui check {path}` checks it"
    if option == "--file" and kind == DATABASE:
        return f"{given} is a database file: open it with `audit-tui --db {path}`"
    if option == "--db" and kind == EXPORT:
        return f"{given} is an export: open it with `audit-tui --file {path}`"
    return None


def _is_bare(named: str) -> bool:
    """Whether this is a word that is meant as a profile's name: hosts with such names exist, mistyped profiles more."""
    return not any(mark in named for mark in ".:/") and named.strip().lower() != "localhost"


def _no_profile(named: str, config: Config, where: str) -> str:
    there_are = ", ".join(sorted(config.profiles)) or "none, since tui.toml has no [profiles.NAME]"
    return (
        f"{where}there is no profile {named!r}: the profiles are {there_are}; "
        f"an address has a port or a scheme, such as {DEFAULT_URL} or HOST:8093"
    )


async def _try(opening: Opening) -> None:
    """Raise what is wrong with a file, or with the authorities of https, before the screen is taken."""
    log = await opening.open_log(opening.url)
    await log.close()


def _run(opening: Opening, user_data: UserData) -> int:
    from audit_tui.app import ConsoleApp

    app = ConsoleApp(opening, user_data)
    gc.freeze()
    gc.enable()
    gc.set_threshold(10_000)  # rows and lines are in no cycles; at 50,000 what is collected late took 5 MB
    app.run()
    if user_data.marks.unsaved:
        print("audit-tui: marks and notes could not be saved and are lost:", file=sys.stderr)
        for problem in user_data.marks.problems[-1:]:
            print(f"audit-tui: {problem}", file=sys.stderr)
    return app.return_code or 0


def _fail(reason: str) -> int:
    from audit_stream.display import safe

    print(f"audit-tui: {safe(reason)}", file=sys.stderr)
    return 2
