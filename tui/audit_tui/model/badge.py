"""The integrity badge as values: its state, its words, and the alarm that a new red one gives."""

from __future__ import annotations

import enum

import msgspec

__all__ = ["Alarm", "Badge", "State"]


class State(enum.Enum):
    """What may be believed of the log. BROKEN and REWRITTEN are the red ones."""

    VERIFIED = "VERIFIED"
    VERIFYING = "VERIFYING"
    BROKEN = "BROKEN"
    REWRITTEN = "REWRITTEN"
    UNVERIFIED = "UNVERIFIED"
    PART = "PART"
    STALE = "STALE"
    OFFLINE = "OFFLINE"

    @property
    def is_red(self) -> bool:
        """Whether it says that the log is not what it was."""
        return self in (State.BROKEN, State.REWRITTEN)


class Badge(msgspec.Struct, frozen=True, kw_only=True):
    """What the badge says at one moment. All texts are safe to show.

    `text` begins with the state's word unless what was found holds again ("was BROKEN at #42, ..."). `detail` is a
    sentence on who found what. `disagreement` is empty unless the daemon and this console contradict each other.
    `is_alarm`: red, and nobody has acknowledged it; `is_acknowledged`: red still, which somebody has seen.
    """

    state: State
    text: str
    detail: str
    event_id: int | None = None
    disagreement: str = ""
    is_alarm: bool = False
    is_acknowledged: bool = False


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """A red that is new: ring the bell and notify, once."""

    state: State
    text: str
    detail: str
    event_id: int
