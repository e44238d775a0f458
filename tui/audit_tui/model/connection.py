"""The state of the connection, in the words that the status bar shows."""

from __future__ import annotations

import enum

import msgspec

from audit_stream.display import safe

__all__ = ["Connection", "ConnectionState"]


class ConnectionState(enum.Enum):
    """How things stand between the console and what it reads from."""

    CONNECTING = "connecting"
    LIVE = "live"
    CATCHING_UP = "catching up"
    RETRYING = "retrying"
    REFUSED = "refused"


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """`left`: how many events are still to come while catching up; `retry_at_s` is on the monotonic clock."""

    state: ConnectionState = ConnectionState.CONNECTING
    reason: str = ""
    left: int = 0
    retry_at_s: float = 0.0

    def text(self, now_s: float) -> str:
        """In a few words; the reason is `reason`."""
        match self.state:
            case ConnectionState.CATCHING_UP:
                return f"catching up, {self.left:,} left"
            case ConnectionState.RETRYING:
                return f"retrying in {max(0, round(self.retry_at_s - now_s))} s"
            case ConnectionState.REFUSED:
                return f"refused: {safe(self.reason)}"
            case _:
                return str(self.state.value)
