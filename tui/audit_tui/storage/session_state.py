"""How the console was left, so that the next one opens the same way."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from audit_tui.model.alerts import UnacknowledgedAlert
from audit_tui.storage.json_file import JsonFile, storable

__all__ = ["DaemonState", "SessionFile", "SessionState"]

_MAX_BYTES = 1 << 22
_MAX_DAEMONS = 50


class DaemonState(msgspec.Struct, frozen=True, kw_only=True):
    """How one daemon was looked at. Empty says nothing: the console then does what it does by default.

    `history` is the filters that were applied, the last last. `layout` holds what the main screen likes to keep, such
    as whether the panel is open, `unacknowledged` the breaks that nobody has acknowledged (`unseen` in the file).
    """

    filter: str = ""
    history: tuple[str, ...] = ()
    filters: dict[str, str] = {}
    columns: tuple[str, ...] = ()
    layout: dict[str, str | int | bool] = {}
    time_format: str = ""
    unacknowledged: tuple[UnacknowledgedAlert, ...] = msgspec.field(default=(), name="unseen")


class SessionState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is restored. `daemons` is in the order of use, the last used last."""

    theme: str = ""
    last_url: str = ""
    daemons: dict[str, DaemonState] = {}

    def daemon(self, url: str) -> DaemonState:
        """How this daemon was left; defaults for one that has not been seen."""
        return self.daemons.get(storable(url), DaemonState())

    @property
    def recent_urls(self) -> tuple[str, ...]:
        """The daemons that have been opened, the last used first."""
        return tuple(reversed(self.daemons))


class SessionFile:
    """The file of it. All methods block on the file, never raise, and are safe from any thread: call them in one.

    `problems` says what went wrong. Consoles on different daemons keep out of each other's way; of two on the same one
    the last to save stands, except that each named filter is saved by itself.
    """

    def __init__(self, directory: Path) -> None:
        self.problems: list[str] = []
        self._record = JsonFile(
            directory / "session.json",
            SessionState,
            what="how the console was left",
            max_bytes=_MAX_BYTES,
            problems=self.problems,
        )

    def load(self) -> SessionState:
        """What was saved last; defaults when nothing was, or nothing that can be understood."""
        return self._record.read() or SessionState()

    def save(self, url: str, daemon: DaemonState, *, theme: str) -> None:
        """Save how this daemon is left, as the last one, and the theme. The named filters on disk stay as they are."""

        def change(found: SessionState | None) -> SessionState:
            state = found or SessionState()
            kept = msgspec.structs.replace(daemon, filters=state.daemon(url).filters)
            return SessionState(theme=theme, last_url=storable(url), daemons=_with(state.daemons, url, kept))

        self._record.change(change)

    def save_filter(self, url: str, name: str, text: str | None) -> Mapping[str, str]:
        """Keep a filter under a name, or with None remove it. Returns this daemon's named filters as they are then.

        When they cannot be saved, that is what `problems` is for, and what is returned is only what is on disk.
        """

        def change(found: SessionState | None) -> SessionState:
            state = found or SessionState()
            before = state.daemon(url)
            filters = {**before.filters, storable(name): storable(text or "")}
            if text is None:
                del filters[storable(name)]
            kept = msgspec.structs.replace(before, filters=dict(sorted(filters.items())))
            return msgspec.structs.replace(state, daemons=_with(state.daemons, url, kept))

        after = self._record.change(change)
        return (after or self.load()).daemon(url).filters


def _with(daemons: Mapping[str, DaemonState], url: str, state: DaemonState) -> dict[str, DaemonState]:
    """One changed and last; the ones not used for longest go when they are too many."""
    others = [(key, kept) for key, kept in daemons.items() if key != storable(url)]
    return dict([*others, (storable(url), state)][-_MAX_DAEMONS:])
