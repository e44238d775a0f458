"""`audit-stream` and `python -m audit_daemon`."""

import sys


def main() -> int:
    """Run the command line; returns its exit code."""
    from audit_daemon.cli.app import open_standard_streams, run

    open_standard_streams()
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
