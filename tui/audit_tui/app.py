"""The console as an application: daemons one after another, themes, alarms, and what is kept."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

import msgspec
from textual import events
from textual.app import App, SystemCommand
from textual.binding import Binding
from textual.screen import Screen

from audit_stream.chain import Head
from audit_stream.client import base_url, shown_url
from audit_stream.display import counted
from audit_stream.errors import ClientError
from audit_tui.clock import SYSTEM_CLOCK, Clock
from audit_tui.log import Log
from audit_tui.model.badge import Badge
from audit_tui.screens.main import MainScreen
from audit_tui.session import Session
from audit_tui.textual_private import mounted, write_to_terminal
from audit_tui.user_data import UserData

__all__ = ["ConsoleApp", "Opening"]

_VERIFY_EVERY_S = 30.0
_ALONE_EVERY_S = 1.0
_SCREEN_S = 1.0
"""No screen takes so long to be there; a key must not wait for ever for one that has failed."""


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """What to open at first. `open_log` makes a log of an address; `is_offline`: there is nothing to switch to.

    `filter` is for the first that is opened, `verify_every_s` for all, whatever their profiles say.
    """

    url: str
    open_log: Callable[[str], Awaitable[Log]]
    verify_every_s: float | None = None
    is_offline: bool = False
    filter: str = ""
    clock: Clock = SYSTEM_CLOCK


class ConsoleApp(App[None]):
    """One console; `opening` says on what, `user_data` what is on disk."""

    TITLE = "audit-tui"
    ENABLE_COMMAND_PALETTE = True
    CSS = "Toast { max-width: 70; } .-typing ToastRack { margin-bottom: 2; max-height: 50%; }"

    BINDINGS = [  # noqa: RUF012 - Textual's own convention
        Binding("question_mark", "help", "Help", id="help", key_display="?"),
        Binding("ctrl+p", "command_palette", "Palette", id="palette", show=False, priority=True),
        Binding("d", "switch", "Daemons", id="switch", show=False),
        Binding("q,ctrl+q", "quit", "Quit", id="quit"),
        # On every screen and in every field, where q is a letter and other bindings of the app are not heard.
        Binding("ctrl+c", "interrupt", "Quit, also while typing", show=False, priority=True),
    ]

    def __init__(self, opening: Opening, user_data: UserData) -> None:
        super().__init__()
        self.opening = opening
        self.user_data = user_data
        self._main: MainScreen | None = None
        self._url = opening.url
        self._filter = opening.filter
        self._warned_of = 0
        """Copies that are in no file, of which was said that they go with the session."""

    async def on_mount(self) -> None:
        self.set_keymap(self.user_data.config.keys)
        theme = self.user_data.config.theme or self.user_data.state.theme
        if theme in self.available_themes:
            self.theme = theme
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._end, 128 + signal.SIGTERM)
        # Not by the loop, which may be waiting to write to the terminal that is gone.
        loop = asyncio.get_running_loop()
        signal.signal(signal.SIGHUP, lambda *_: self._hang_up(loop))
        self.set_interval(_ALONE_EVERY_S, self._leave_if_alone)
        await self.open_daemon(self.opening.url)

    def _end(self, code: int) -> None:
        """Give the terminal back as it was, whoever wants the console gone."""
        self.exit(return_code=code)

    def _hang_up(self, loop: asyncio.AbstractEventLoop) -> None:
        """SIGHUP, in whatever the main thread was doing: sent by hand, it finds the terminal still there."""
        if sys.__stderr__ is not None and os.isatty(sys.__stderr__.fileno()):
            loop.call_soon_threadsafe(self._end, 128 + signal.SIGHUP)
        else:
            self._hung_up()

    def _hung_up(self) -> None:
        """The terminal is gone: there is nothing to give back, and writing to it would fail or wait for ever."""
        os._exit(128 + signal.SIGHUP)

    def _leave_if_alone(self) -> None:
        """End when the terminal is gone and nobody said so, as when a shell that ignores SIGHUP stands between."""
        if not self.is_headless and sys.__stderr__ is not None and not os.isatty(sys.__stderr__.fileno()):
            self._hung_up()

    async def on_event(self, event: events.Event) -> None:
        """Let keys that were typed ahead wait until the screen that they are meant for is there."""
        if isinstance(event, events.Key) and not event.is_forwarded and self.is_running:
            await mounted(self.screen, timeout_s=_SCREEN_S)
        await super().on_event(event)

    def action_command_palette(self) -> None:
        from audit_tui.screens.palette import Palette

        if not isinstance(self.screen, Palette):
            self.push_screen(Palette(id="--command-palette"))

    def search_themes(self) -> None:
        """All themes, by name."""
        from textual.theme import ThemeProvider

        from audit_tui.screens.palette import Palette

        self.push_screen(Palette(providers=[ThemeProvider], placeholder="Search for themes…"))

    # Daemons

    def known_daemons(self) -> dict[str, str]:
        """Addresses by name: the profiles, then those opened lately."""
        named = {name: profile.url for name, profile in self.user_data.config.profiles.items()}
        shown = {shown_url(url) for url in named.values()}
        recent = {url: url for url in self.user_data.state.recent_urls if url not in shown}
        return {**named, **recent}

    async def open_daemon(self, url: str) -> None:
        """Show another daemon, as it was left."""
        log = await self.opening.open_log(url)
        state = self.user_data.state.daemon(log.url)
        self._url = url
        if self._filter:
            state, self._filter = msgspec.structs.replace(state, filter=self._filter), ""
        if self.user_data.config.utc is not None:
            state = msgspec.structs.replace(state, time_format="utc" if self.user_data.config.utc else "local")
        known = await self.user_data.known_heads(log.url)
        clock = self.opening.clock
        session = Session(
            log,
            verify_every_s=self._verify_every_s(url),
            known_heads=tuple(Head(head.event_id, head.hash) for head in known),
            unacknowledged=state.unacknowledged,
            clock=clock,
            remember=lambda head: self.user_data.heads.remember(log.url, head, clock.now_ms()),
        )
        self._warned_of = 0
        self._main = MainScreen(
            session,
            state,
            self.user_data,
            raise_alarm=self.raise_alarm,
            daemons=self.known_daemons,
            open_log=self.opening.open_log,
        )
        await self.push_screen(self._main)

    async def _close_daemon(self) -> None:
        if self._main is not None:
            main, self._main = self._main, None
            left, session = main.left_as(), main.session
            session.remember_newest()
            log, answered = session.log, session.stats is not None
            await asyncio.to_thread(self.user_data.save_session, log.url, left, theme=self.theme, answered=answered)
            await asyncio.to_thread(self.user_data.load)
            await log.close()

    def _verify_every_s(self, url: str) -> float:
        if self.opening.verify_every_s is not None:
            return self.opening.verify_every_s
        profiles = () if self.opening.is_offline else self.user_data.config.profiles.values()
        named = (profile.verify_every for profile in profiles if _is_same(profile.url, url))
        return next((every_s for every_s in named if every_s is not None), _VERIFY_EVERY_S)

    @property
    def badge_text(self) -> str:
        """What the badge says."""
        return "" if self._main is None else self._main.session.integrity.badge(self.opening.clock.now_s()).text

    def action_switch(self) -> None:
        from audit_tui.screens.profiles import ProfilesScreen

        if self.opening.is_offline:
            self.notify("a file has no other daemons to switch to", severity="warning")
            return
        if self._would_lose_copies():
            return

        def chosen(url: str | None) -> None:
            if url is not None:
                self.run_worker(self._switch(url), group="switch", exclusive=True)

        self.push_screen(ProfilesScreen(self.known_daemons(), title="Open"), chosen)

    async def _switch(self, url: str) -> None:
        before = self._url
        while len(self.screen_stack) > 1:
            self.pop_screen()
        await self._close_daemon()
        try:
            await self.open_daemon(url)
        except ClientError as error:
            self.notify(str(error), severity="error", markup=False)
            await self.open_daemon(before)

    def _would_lose_copies(self) -> bool:
        """Whether what only this session has of a log would go unsaved; said once."""
        unsaved = 0 if self._main is None else self._main.session.cuts.unsaved
        if unsaved <= self._warned_of:
            return False
        self._warned_of = unsaved
        text = (
            f"the only copies of {counted(unsaved, 'vanished event')} are in no file: b, g, then E or e; again to leave"
        )
        self.notify(text, severity="warning", markup=False, timeout=10)
        return True

    async def action_quit(self) -> None:
        """Keep how it was left, and end; asked twice while copies of what the log lost are in no file."""
        if self._would_lose_copies():
            return
        await self._close_daemon()
        self.exit()

    async def action_interrupt(self) -> None:
        """Copy what is selected in a field or on the screen; end when nothing is."""
        text = self.screen.get_selected_text() or getattr(self.focused, "selected_text", "")
        if text:
            self.copy_to_clipboard(text)
        else:
            await self.action_quit()

    def raise_alarm(self, alarm: Badge) -> None:
        """The bell once, and a notification of the terminal (OSC 9), which shows even when one looks elsewhere."""
        self.bell()
        self.notify(alarm.detail, title=alarm.text, severity="error", timeout=10, markup=False)
        if os.environ.get("TERM") != "dumb":
            write_to_terminal(self, _notification(alarm.text, tmux="TMUX" in os.environ))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """For the palette: what Textual offers, and whatever has a key on the screen one is on."""
        yield from super().get_system_commands(screen)
        listed = {"command_palette"}
        for active in screen.active_bindings.values():
            binding = active.binding
            if binding.description and binding.action not in listed:  # several keys may do the same
                listed.add(binding.action)
                action = partial(self.run_action, binding.action, active.node)
                yield SystemCommand(binding.description, f"key: {self.get_key_display(binding)}", action)

    def action_help(self) -> None:
        from audit_tui.screens.help import HelpScreen

        if isinstance(self.screen, HelpScreen):
            self.pop_screen()
        else:
            self.push_screen(HelpScreen.of(self.screen))


def _is_same(one: str, other: str) -> bool:
    """Whether two addresses, as people write them, are of one daemon."""
    try:
        return base_url(one) == base_url(other)
    except ClientError:
        return False


def _notification(text: str, *, tmux: bool) -> str:
    """OSC 9. tmux hands on only what is wrapped (tmux(1), allow-passthrough)."""
    plain = f"\x1b]9;audit-tui: {text}\x07"
    if not tmux:
        return plain
    doubled = plain.replace("\x1b", "\x1b\x1b")
    return f"\x1bPtmux;{doubled}\x1b\\"
