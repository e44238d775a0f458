"""Paths as people type them."""

from __future__ import annotations

from pathlib import Path

__all__ = ["typed_path"]


def typed_path(typed: str | Path) -> Path:
    """With `~` resolved; that of a user who is not there stays as it is, so that it is a file that is not there."""
    try:
        return Path(typed).expanduser()
    except RuntimeError:
        return Path(typed)
