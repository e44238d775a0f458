"""The `audit-tui` command."""

from __future__ import annotations

__all__ = ["main"]


def main() -> int:
    """Open the console; returns the exit code."""
    return 0
