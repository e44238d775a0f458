"""The demo's five steps. What is on the screen is what happened: every line comes from the daemon or the file."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from pathlib import Path
from typing import Self

import msgspec

from audit_daemon.cli.demo.daemon import DemoDaemon
from audit_daemon.cli.demo.producers import Producers
from audit_daemon.cli.demo.screen import Screen, our_command
from audit_daemon.cli.demo.tampering import EDITED_KIND, copy_database, edit_an_event, rehash_event
from audit_daemon.settings import SettingsError, load
from audit_stream.chain import Verdict
from audit_stream.client import Client, Lost, RawEvent
from audit_stream.logfile.verification import verify_file

__all__ = ["Pace", "Told", "farewell", "tell"]

_FIRST_LOOK_S = 6.0
_READ_S = 4.0
"""What people need to read a step before the next one comes."""
_UNATTENDED_S = 10.0

_WHILE_READING = 12.0
_AFTERWARDS = 3.0
"""So many times longer the producers' pauses are then: what is to be read must not be scrolled away at once."""

_SHOWN_HASH = 16


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How long things take, in seconds: the first look at the stream, reading a step, and all of it (None: no end)."""

    first_look_s: float
    read_s: float
    total_s: float | None

    @classmethod
    def of(cls, seconds: float | None, *, is_terminal: bool) -> Self:
        """The pace for people on a terminal, or for a total of `seconds` (without a terminal ten)."""
        if seconds is None and is_terminal:
            return cls(first_look_s=_FIRST_LOOK_S, read_s=_READ_S, total_s=None)
        total_s = _UNATTENDED_S if seconds is None else seconds
        return cls(first_look_s=min(_FIRST_LOOK_S, total_s / 2), read_s=0, total_s=total_s)


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict in the words of `audit-stream verify`, the hash cut, and on what it was given."""

    word: str
    rest: str
    good: bool
    on: str

    @classmethod
    def of(cls, verdict: Verdict, on: str) -> Self:
        """A verdict's sentence."""
        events = f"{verdict.checked:,} event{'s' * (verdict.checked != 1)}"
        if verdict.valid:
            head = "" if verdict.head is None else f", head #{verdict.head.event_id} {_short(verdict.head.hash)}"
            return cls(word="intact", rest=f": {events}{head}", good=True, on=on)
        holding = f"{events} before it hold{'s' * (verdict.checked == 1)}"
        return cls(
            word="BROKEN", rest=f" at #{verdict.first_break_at}: {verdict.reason} ({holding})", good=False, on=on
        )


async def tell(screen: Screen, daemon: DemoDaemon, pace: Pace, seen: list[Told]) -> None:
    """Tell it all; returns when the time is over. The verdicts that were shown are added to `seen`."""
    now = asyncio.get_running_loop().time
    began = now()
    screen.title("audit-stream: one log of every decision, and proof that nobody edited it")
    await _start(screen, daemon)
    async with Client(daemon.url) as client:
        producers = Producers(client)
        follower = _Follower(screen, daemon, client)
        async with producers.posting():
            screen.heading("2 Five services post what they decide; this follows GET /stream")
            screen.prose("An event's number, time (UTC), severity, kind, source and payload:")
            screen.blank()
            await follower.follow(pace.first_look_s, until_editable=True)
            producers.stretch = _WHILE_READING
            _verify(screen, daemon, seen)
            await asyncio.sleep(pace.read_s)
            await _tamper_with_a_copy(screen, daemon, pace, seen)
            await asyncio.sleep(pace.read_s)
            _verify_again(screen, daemon, seen)
            ending = "" if pace.total_s else " Ctrl-C ends the demo."
            screen.prose(f"The stream goes on after the last event that you saw.{ending}")
            screen.blank()
            await asyncio.sleep(pace.read_s)
            producers.stretch = _AFTERWARDS
            await follower.follow(None if pace.total_s is None else began + pace.total_s - now())


async def _start(screen: Screen, daemon: DemoDaemon) -> None:
    screen.heading("1 A daemon starts, with a SQLite file of its own")
    await daemon.start()
    screen.pair("address", daemon.url)
    screen.pair("file", str(daemon.database))
    screen.blank()
    screen.prose("It runs as long as this demo. From another terminal, try:")
    screen.blank()
    screen.command(f"curl '{daemon.url}/events?limit=3'")
    screen.command(f"curl -N {daemon.url}/stream")
    screen.command(f"{our_command()} tail --url {daemon.url} 'severity:>=warning'")


class _Follower:
    """Follows the stream, again and again from where it was."""

    def __init__(self, screen: Screen, daemon: DemoDaemon, client: Client) -> None:
        self._screen = screen
        self._daemon = daemon
        self._client = client
        self._last_id = 0
        self._editable_id: int | None = None

    async def follow(self, seconds: float | None, *, until_editable: bool = False) -> None:
        """Show events for so long; None: for ever.

        With `until_editable` longer if need be, until the log holds an event that can be edited and one after it.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._show_events()
        if until_editable and not self._is_editable():
            await self._show_events(until_editable=True)

    def _is_editable(self) -> bool:
        return self._editable_id is not None and self._editable_id < self._last_id

    async def _show_events(self, *, until_editable: bool = False) -> None:
        async with contextlib.aclosing(self._client.tail(since_id=self._last_id)) as items:
            async for item in items:
                if isinstance(item, RawEvent):
                    self._show(item)
                    if until_editable and self._is_editable():
                        return
                elif isinstance(item, Lost):
                    self._daemon.check()

    def _show(self, served: RawEvent) -> None:
        self._screen.event(served)
        event = served.decode()
        self._last_id = event.event_id
        if self._editable_id is None and event.kind == EDITED_KIND:
            self._editable_id = event.event_id


def _verify(screen: Screen, daemon: DemoDaemon, seen: list[Told]) -> None:
    screen.heading("3 Does the log hold what the services sent?")
    screen.prose(
        "Each event holds the hash of the one before it: together they form a chain, which anyone can check, "
        "beside the running daemon or without one:"
    )
    _show_verdict(screen, daemon.database, seen, "the log")


async def _tamper_with_a_copy(screen: Screen, daemon: DemoDaemon, pace: Pace, seen: list[Told]) -> None:
    copy = daemon.database.with_name("copy.db")
    copy_database(daemon.database, copy)
    edit = edit_an_event(copy)
    screen.heading("4 Somebody edits a copy of the file")
    screen.prose(f"Event #{edit.event_id}, a {edit.kind} of {edit.source}, is made to look allowed:")
    screen.blank()
    screen.command(edit.sql)
    screen.blank()
    screen.change(f"#{edit.event_id} {edit.key}", edit.old, edit.new)
    _show_verdict(screen, copy, seen, "a copy, one value edited")
    await asyncio.sleep(pace.read_s)

    rehash = rehash_event(copy, edit.event_id)
    screen.blank()
    screen.prose("Somebody cleverer makes the event's hash fit its new content as well:")
    screen.blank()
    screen.command(rehash.sql)
    screen.blank()
    screen.change(f"#{edit.event_id} hash", _short(rehash.old), _short(rehash.new))
    _show_verdict(screen, copy, seen, "and its hash made to fit")
    screen.blank()
    screen.prose(
        f"Event #{edit.event_id + 1} still holds the old hash. Whoever goes on and rewrites every event up to the "
        "last one ends with another head than the one above. So keep heads elsewhere: they are all it takes."
    )


def _verify_again(screen: Screen, daemon: DemoDaemon, seen: list[Told]) -> None:
    screen.heading("5 The log itself, which nobody has edited")
    _show_verdict(screen, daemon.database, seen, "the log itself, later")
    screen.blank()


def _show_verdict(screen: Screen, database: Path, seen: list[Told], on: str) -> None:
    told = Told.of(verify_file(database), on)
    screen.blank()
    screen.command(f"{our_command()} verify --db {shlex.quote(str(database))}")
    screen.verdict(told.word, told.rest, good=told.good)
    seen.append(told)


def farewell(screen: Screen, seen: list[Told]) -> None:
    """What was found, as it has scrolled away from a terminal by now, and what to do next. The daemon has ended."""
    screen.heading("Goodbye. The demo's daemon has ended, its file is removed.")
    if screen.is_terminal:
        for told in seen:
            rest = told.rest.partition(" (")[0]
            screen.verdict(told.word, rest, good=told.good, before=f"{told.on:<24}  ")
        if not seen:
            screen.prose("To see somebody edit a copy of the file, and be found out:")
            screen.blank()
            screen.command(f"{our_command()} demo --story")
        screen.blank()
    screen.prose("To keep what your services decide, start a real daemon:")
    screen.blank()
    screen.command(our_command())
    screen.blank()
    # A mistake in the user's settings, or (pathlib's RuntimeError) no home: the real daemon is the one to say so.
    with contextlib.suppress(SettingsError, RuntimeError):
        settings = load({})
        screen.pair("address", f"http://{settings.host}:{settings.port}")
        screen.pair("file", str(settings.db_path))
    screen.pair("help", f"{our_command()} --help, README.md")


def _short(hash_: str) -> str:
    return f"{hash_[:_SHOWN_HASH]}…"
