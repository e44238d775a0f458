"""What outlives one look at one daemon: settings, remembered heads, marks, how the console was left."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from audit_stream.chain import Head
from audit_stream.event import system_clock_ms
from audit_tui.model.rows import Row
from audit_tui.storage.config import Config
from audit_tui.storage.heads import Accepted, HeadMemory, RememberedHead
from audit_tui.storage.marks import Mark, Marks
from audit_tui.storage.session_state import DaemonState, SessionFile, SessionState

__all__ = ["UserData"]


class UserData:
    """The files behind the console; whatever touches one of them runs in a thread."""

    def __init__(self, config: Config, state_directory: Path) -> None:
        self.config = config
        self.heads = HeadMemory(state_directory)
        self.marks = Marks(state_directory)
        self.state = SessionState()
        self._file = SessionFile(state_directory)
        self._filters: dict[str, Mapping[str, str]] = {}
        self._said: set[str] = set()

    def load(self) -> None:
        """Read how the console was left; two small files, before the first frame."""
        self.state = self._file.load()
        self.marks.load()

    async def known_heads(self, url: str) -> tuple[RememberedHead, ...]:
        """The heads that are remembered of a daemon."""
        return await asyncio.to_thread(self.heads.heads, url)

    async def accepted(self, url: str) -> tuple[Accepted, ...]:
        """The histories of a daemon that people took in place of others."""
        return await asyncio.to_thread(self.heads.accepted, url)

    def named_filters(self, url: str) -> dict[str, str]:
        """The settings' filters and this daemon's own."""
        return {**self.config.filters, **self._filters.get(url, self.state.daemon(url).filters)}

    def save_filter(self, url: str, name: str, text: str | None) -> Mapping[str, str]:
        """Keep a filter under a name, or remove it."""
        self._filters[url] = self._file.save_filter(url, name, text)
        return self.named_filters(url)

    def save_session(self, url: str, daemon: DaemonState, *, theme: str, answered: bool) -> None:
        """Write how the console is left. An address that never answered was perhaps mistyped: it is not kept."""
        if answered:
            self._file.save(url, daemon, theme=theme)
        self.marks.save()
        self.heads.flush()

    async def save_if_due(self) -> None:
        """Write what has changed, now and then."""
        now_ms = system_clock_ms()
        if self.heads.due(now_ms):
            await asyncio.to_thread(self.heads.save_if_due, now_ms)
        if self.marks.unsaved:
            await asyncio.to_thread(self.marks.save)

    async def accept(self, url: str, head: Head) -> None:
        """A person takes this history for the true one."""
        await asyncio.to_thread(self.heads.accept, url, head, system_clock_ms())

    def mark_of(self, row: Row, url: str) -> Mark:
        """A fresh mark for an event."""
        return Mark(
            hash=row.hash,
            event_id=row.event_id,
            timestamp=row.timestamp,
            kind=row.kind,
            source=row.source,
            url=url,
            severity=row.severity,
            marked_at_ms=system_clock_ms(),
        )

    def new_problems(self) -> list[str]:
        """What went wrong with files since the last call."""
        problems = [*self.heads.problems, *self.marks.problems, *self._file.problems]
        new = [problem for problem in problems if problem not in self._said]
        self._said.update(new)
        return new
