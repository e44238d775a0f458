"""The command's front: `audit-stream` alone starts the daemon."""

from __future__ import annotations

__all__ = ["run"]


def run(arguments: list[str]) -> int:
    """Placeholder until the commands are built."""
    import argparse
    import sys

    from audit_daemon.settings import SettingsError, load

    parser = argparse.ArgumentParser()
    parser.add_argument("--host")
    parser.add_argument("--port")
    parser.add_argument("--db", dest="db_path")
    try:
        settings = load(vars(parser.parse_args(arguments)))
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    from audit_daemon.server import serve

    return serve(settings)
