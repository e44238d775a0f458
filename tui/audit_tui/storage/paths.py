"""Where the console keeps its files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

__all__ = ["CONFIG_SETTING", "STATE_SETTING", "config_path", "state_directory"]

CONFIG_SETTING = "AUDIT_TUI_CONFIG"
STATE_SETTING = "AUDIT_TUI_STATE"


def config_path(environ: Mapping[str, str]) -> Path:
    """The file of settings: what AUDIT_TUI_CONFIG says, otherwise `audit-stream/tui.toml` where settings belong."""
    if named := environ.get(CONFIG_SETTING):
        return Path(named).expanduser()
    from platformdirs import user_config_path  # 10 ms

    return user_config_path("audit-stream") / "tui.toml"


def state_directory(environ: Mapping[str, str]) -> Path:
    """Where state goes: what AUDIT_TUI_STATE says, otherwise `audit-stream/tui` where state belongs."""
    if named := environ.get(STATE_SETTING):
        return Path(named).expanduser()
    from platformdirs import user_state_path  # 10 ms

    return user_state_path("audit-stream") / "tui"
