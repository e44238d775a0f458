"""What there is to do about the log's integrity: look, verify, acknowledge, accept, compare with another daemon."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from audit_stream.chain import Head
from audit_tui.controllers.host import Host
from audit_tui.log import Log
from audit_tui.model.rows import Row
from audit_tui.session import Session
from audit_tui.user_data import UserData
from audit_tui.widgets.event_table import EventTable

__all__ = ["IntegrityController"]


@dataclass(eq=False)
class IntegrityController:
    """What is behind the badge.

    `open_copy` shows an event that only this console has, given the one before it if that is here. `daemons` gives the
    addresses that there are to compare with, by name, and `open_log` what stands behind one.
    """

    session: Session
    table: EventTable
    user_data: UserData
    host: Host
    open_copy: Callable[[Row, Row | None], None]
    daemons: Callable[[], dict[str, str]]
    open_log: Callable[[str], Awaitable[Log]]

    def open(self) -> None:
        """Verdicts, remembered heads, and what is around a break."""
        from audit_tui.screens.integrity import IntegrityScreen

        session, user_data = self.session, self.user_data

        async def show() -> None:
            heads = await user_data.known_heads(session.log.url)
            accepted = await user_data.accepted(session.log.url)
            await self.host.open(
                IntegrityScreen(
                    session.integrity,
                    heads,
                    session.pages.around,
                    accepted=accepted,
                    stored=session.ring.find,
                    cuts=session.cuts,
                    head_id=lambda: session.ring.head.event_id,
                    log=session.log.url,
                    now_s=session.clock.now_s,
                    now_ms=session.clock.now_ms,
                    verify=session.verify_now,
                    acknowledge=self.acknowledge,
                    accept=self.host.later(self.accept),
                    show_gone=self.host.later(self.show_gone),
                )
            )

        self.host.read(show, group="open")

    def show_gone(self) -> None:
        """The copies of what the log no longer holds."""
        from audit_tui.screens.gone import GoneScreen

        if not self.session.cuts.rows:
            self.host.say("no copy is here of an event that the log no longer holds")
            return
        self.host.open(GoneScreen(self.session, self.open_copy, time_format=self.table.time_format))

    def acknowledge(self) -> None:
        """Take note of the red badge, which silences it; it stays red as long as what it says is so."""
        session = self.session
        if session.integrity.acknowledge(session.clock.now_s()) and session.integrity.is_rewritten:
            self.host.say(
                "acknowledged, not accepted: the log is compared with what it was until A accepts what it is now"
            )
        self.host.show_change()

    def accept(self) -> None:
        """Ask whether the history that there is now is to be taken for the true one, and do so."""
        from audit_tui.screens.accept import AcceptScreen

        session, user_data = self.session, self.user_data
        rewritten = session.integrity.rewritten
        if rewritten is None:
            self.host.say("there is nothing to accept: the log holds what this console remembers of it")
            return

        shown: list[Head] = []

        async def accept() -> None:
            await user_data.accept(session.log.url, await session.accept_history(shown[-1]))
            self.host.say("accepted: the log is compared with what it is now")
            self.host.show_change()

        def answered(accepted: bool | None) -> None:
            if accepted:
                self.host.read(accept, group="accept")

        async def ask() -> None:
            head = (await session.log.stats()).head
            shown.append(head)
            heads = await user_data.known_heads(session.log.url)
            what = (session.integrity.rewritten or rewritten).text
            await self.host.open(AcceptScreen(what, head, heads, session.cuts), answered)

        self.host.read(ask, group="accept")

    def compare(self) -> None:
        """Where this daemon's history and another's part."""
        from audit_tui.screens.compare import CompareScreen
        from audit_tui.screens.profiles import ProfilesScreen

        async def compare(url: str) -> None:
            self.host.open(CompareScreen(self.session.log, await self.open_log(url)))

        def chosen(url: str | None) -> None:
            if url is not None:
                self.host.read(lambda: compare(url), group="open")

        self.host.open(ProfilesScreen(self.daemons(), title="Compare with"), chosen)
