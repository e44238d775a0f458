"""Pictures of every screen, at every layout, in `__snapshots__`.

    pytest tests/tui/test_snapshots.py                      compares; what differs is in snapshot_report.html
    pytest tests/tui/test_snapshots.py --snapshot-update    takes them anew: look at each before it is committed

Nothing in them may depend on when they are taken: the clock stands still unless a scene moves it, times are UTC, the
daemon is in memory, and a scene waits for what it wants to see.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.events import Paste
from textual.pilot import Pilot
from textual.widgets import Input, TextArea

from audit_stream.chain import Head
from audit_stream.client import RawEvent
from audit_stream.kinds import DEFAULT_KINDS
from audit_tui.app import ConsoleApp, Opening
from audit_tui.clock import Clock
from audit_tui.log import Log
from audit_tui.model.connection import ConnectionState
from audit_tui.model.rows import read_row
from audit_tui.screens.main import MainScreen
from audit_tui.storage.config import Config, Profile
from audit_tui.storage.marks import Mark
from audit_tui.user_data import UserData
from audit_tui.widgets.activity_panel import ActivityPanel
from audit_tui.widgets.completion_list import CompletionList
from tests.tui.fake_log import START_MS, FakeLog, chained, make_log, tampered

DEADLINE_S = 20
SIZES = {"80x24": (80, 24), "120x40": (120, 40), "160x45": (160, 45)}

URL = "http://audit.test:8093"
STANDBY_URL = "http://standby.test:8093"
NOW_MS = START_MS + 60_000

ORDER = (
    "request_denied",
    "policy-as-code-engine",
    {
        "request": {"id": "req-0042", "path": "/students/17/grades", "method": "POST", "labels": ["学生", "exam"]},
        "decision": "deny",
        "rules": [{"name": "own-records-only", "hit": True, "score": 0.875}, {"name": "office-hours", "hit": False}],
        "reviewer": None,
        "attempts": 3,
        "note": "escaped: \x1b[31mred\x1b[0m and \u202eleft",
    },
)
"""An event whose detail has something of everything."""


class Hands:
    """A clock that goes on only when somebody turns it."""

    def __init__(self) -> None:
        self.s = 1_000.0

    @property
    def clock(self) -> Clock:
        return Clock(now_s=lambda: self.s, now_ms=lambda: NOW_MS + round((self.s - 1_000) * 1_000))


class PicturedApp(ConsoleApp):
    """Its pictures name no host that a font would be fetched from; notices, which come and go, are only remembered."""

    def __init__(self, opening: Opening, user_data: UserData) -> None:
        super().__init__(opening, user_data)
        self.said: list[str] = []

    def notify(self, message: str, **options: Any) -> None:
        self.said.append(message)

    def export_screenshot(self, *, title: str | None = None, simplify: bool = False) -> str:
        svg = super().export_screenshot(title=title, simplify=simplify)
        return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL).replace("Fira Code", "monospace")


class Scene:
    """What a scene is played on: the app, the daemon, the clock."""

    def __init__(self, log: FakeLog, state: Path, config: Config | None = None, standby: FakeLog | None = None) -> None:
        async def open_log(url: str) -> Log:
            return standby if standby is not None and url == standby.url else log

        self.log = log
        self.hands = Hands()
        self.user_data = UserData(config or Config(), state)
        self.user_data.load()
        self.app = PicturedApp(
            Opening(url=log.url, open_log=open_log, verify_every_s=3_600, clock=self.hands.clock), self.user_data
        )
        self.pilot: Pilot[None]

    @property
    def main(self) -> MainScreen:
        return next(screen for screen in self.app.screen_stack if isinstance(screen, MainScreen))

    @property
    def text(self) -> str:
        """What is on the screen now."""
        strips = self.app.screen._compositor.render_strips()
        return "\n".join("".join(segment.text for segment in strip) for strip in strips)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                await self.pilot.pause(0.01)

    async def shows(self, *texts: str) -> None:
        """Wait until all of these are on the screen."""
        try:
            await self.until(lambda: all(text in self.text for text in texts))
        except TimeoutError:
            missing = [text for text in texts if text not in self.text]
            raise AssertionError(f"{missing} did not appear in\n{self.text}") from None

    async def keys(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def comes(self, *drafts: tuple[str, str, dict[str, Any]]) -> None:
        """Events come in, and are taken in."""
        for draft in drafts:
            self.log.append(*draft)
        await self.until(lambda: self.main.session.drain() == 0 and self.main.session.ring.head == self.log.head)
        self.main.table.changed()
        await self.pilot.pause()

    async def types(self, text: str) -> None:
        """At once, as by pasting."""
        self.app.post_message(Paste(text))
        await self.pilot.pause()

    async def told(self) -> None:
        """Wait until the alarm has been raised."""
        await self.until(lambda: bool(self.app.said))

    async def settle(self) -> None:
        """Draw what a tick would draw next, and let no cursor blink."""
        for field in self.app.screen.query(Input):
            field.cursor_blink = False
        for area in self.app.screen.query(TextArea):
            area.cursor_blink = False
        self.main.table.changed()
        self.main.show_change()
        self.main.filters.draw_panel()
        await self.pilot.pause()


Act = Callable[[Scene], Awaitable[None]]
Picture = Callable[..., bool]


@pytest.fixture(autouse=True)
def plain_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """UTC, in colour, in a directory of its own, whoever runs this wherever."""
    for name in [name for name in os.environ if name.startswith(("TEXTUAL_", "AUDIT_")) or name == "NO_COLOR"]:
        if name != "TEXTUAL_SNAPSHOT_TEMPDIR":
            monkeypatch.delenv(name)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.chdir(tmp_path)
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def picture(snap_compare: Callable[..., bool], tmp_path: Path) -> Picture:
    """Play a scene once the log is on the screen and verified, and compare what is there then."""

    def take(
        act: Act,
        size: tuple[int, int],
        *,
        log: FakeLog | None = None,
        config: Config | None = None,
        standby: FakeLog | None = None,
        before: Callable[[Scene], None] = lambda scene: None,
    ) -> bool:
        scene = Scene(log or make_log(12, url=URL), tmp_path / "state", config, standby)
        before(scene)

        async def run(pilot: Pilot[None]) -> None:
            scene.pilot = pilot
            session = scene.main.session
            await scene.until(lambda: session.connection.state is ConnectionState.LIVE)
            await scene.until(lambda: session.ring.head == scene.log.head)
            await scene.until(lambda: session.integrity.last_verdict is not None)
            await scene.until(lambda: session.integrity.verdicts.verifying_since_s is None)
            await act(scene)
            await scene.settle()

        return snap_compare(scene.app, terminal_size=size, run_before=run)

    return take


every_size = pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)

LATELY: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("request_allowed", "policy-as-code-engine", {"bundle_id": "student-data", "decision": "allow"}),
    ("breaker_opened", "reliability-toolkit", {"name": "payments", "failures": 12}),
    ORDER,
    ("other", "cron", {}),
)


# The main screen


async def live(scene: Scene) -> None:
    scene.hands.s += 12
    await scene.comes(*LATELY)


async def paused(scene: Scene) -> None:
    await scene.keys("up", "up", "up")
    await scene.comes(*LATELY)


async def filtered(scene: Scene) -> None:
    await scene.comes(*LATELY)
    await scene.keys("slash")
    await scene.types("severity:>=warning")
    await scene.keys("enter")
    await scene.shows("of 16")


async def filter_mistake(scene: Scene) -> None:
    await scene.keys("slash")
    await scene.types("source:cron severity:>=loud")
    await scene.shows("^")


async def filter_completion(scene: Scene) -> None:
    await scene.keys("slash")
    await scene.types("-kind:request_")
    await scene.until(lambda: scene.main.query_one(CompletionList).is_open)


async def find(scene: Scene) -> None:
    await scene.keys("f")
    await scene.types("request")
    await scene.shows("4 of 4")


async def gutter(scene: Scene) -> None:
    await scene.shows("✗ hash mismatch", "missing", "★")


async def gutter_alarm(scene: Scene) -> None:
    await scene.told()
    await gutter(scene)
    await scene.keys("up", "up", "up", "shift+up", "shift+up")


async def panel(scene: Scene) -> None:
    await scene.keys("p")
    for _ in range(12):
        scene.hands.s += 6
        await scene.comes(("request_allowed", "policy-as-code-engine", {"decision": "allow"}), ("other", "cron", {}))
    for _ in range(10):
        scene.hands.s += 6
        await scene.comes(("request_denied", "policy-as-code-engine", {"decision": "deny"}))
    await scene.shows("silent")
    scene.main.query_one(ActivityPanel).focus()
    await scene.keys("down", "space")
    await scene.shows("filter")
    await scene.until(lambda: bool(scene.main.session.view.filter_text))


async def empty(scene: Scene) -> None:
    await scene.shows("the log is empty")


async def away(scene: Scene) -> None:
    scene.log.retry_in_s = 15.0
    scene.log.go_away()
    await scene.shows("retrying in 15 s", "OFFLINE")
    scene.hands.s += 12


async def rewritten(scene: Scene) -> None:
    scene.log.replace(list(chained([("other", "cron", {"i": i}) for i in range(9)])))
    scene.log.go_away()
    await scene.until(lambda: "retrying" in scene.main.session.connection.text(0))
    scene.log.come_back()
    await scene.told()
    await scene.until(lambda: scene.main.session.ring.head == scene.log.head)
    await scene.shows("REWRITTEN")


def broken_log() -> FakeLog:
    """One event edited, four not there, one marked by `mark_some`."""
    log = make_log(20, url=URL)
    log.raw[15] = tampered(log.raw[15], source="mallory")
    del log.raw[6:10]
    return log


def mark_some(scene: Scene) -> None:
    marks = [
        (12, ""),
        (13, "Called the payments team: they were rolling back.\nBack to normal at 20:27."),
        (14, "```\n<b>no markup</b>"),
    ]
    for raw in scene.log.raw:
        for event_id, note in marks:
            if f'"event_id":{event_id},'.encode() in raw:
                scene.user_data.marks.toggle(mark_of(raw, note))


def mark_of(raw: bytes, note: str) -> Mark:

    row = read_row(RawEvent(raw), DEFAULT_KINDS)
    return Mark(
        hash=row.hash,
        event_id=row.event_id,
        timestamp=row.timestamp,
        kind=row.kind,
        source=row.source,
        url=URL,
        severity=row.severity,
        note=note,
        marked_at_ms=NOW_MS,
    )


@every_size
def test_main_live(picture: Picture, size: tuple[int, int]) -> None:
    assert picture(live, size)


@every_size
def test_main_paused(picture: Picture, size: tuple[int, int]) -> None:
    assert picture(paused, size)


@every_size
def test_main_filtered(picture: Picture, size: tuple[int, int]) -> None:
    assert picture(filtered, size)


@every_size
def test_main_filter_with_a_mistake(picture: Picture, size: tuple[int, int]) -> None:
    assert picture(filter_mistake, size)


@every_size
def test_main_filter_completion(picture: Picture, size: tuple[int, int]) -> None:
    assert picture(filter_completion, size)


@every_size
def test_main_find(picture: Picture, size: tuple[int, int]) -> None:
    assert picture(find, size)


@every_size
def test_main_gutter(picture: Picture, size: tuple[int, int]) -> None:
    assert picture(gutter_alarm, size, log=broken_log(), before=mark_some)


@every_size
def test_main_panel(picture: Picture, size: tuple[int, int]) -> None:
    assert picture(panel, size)


@every_size
def test_main_empty(picture: Picture, size: tuple[int, int]) -> None:
    assert picture(empty, size, log=FakeLog([], url=URL))


@every_size
def test_main_away(picture: Picture, size: tuple[int, int]) -> None:
    assert picture(away, size)


@every_size
def test_main_rewritten(picture: Picture, size: tuple[int, int]) -> None:
    assert picture(rewritten, size)


def test_main_in_the_smallest_terminal(picture: Picture) -> None:
    assert picture(live, (20, 5))


def test_main_light(picture: Picture) -> None:
    assert picture(gutter_alarm, (120, 40), log=broken_log(), before=mark_some, config=Config(theme="textual-light"))


def test_main_without_colour(picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert picture(gutter_alarm, (120, 40), log=broken_log(), before=mark_some)


# The event


def detail(*keys: str, shows: tuple[str, ...]) -> Act:
    async def act(scene: Scene) -> None:
        await scene.comes(*LATELY)
        await scene.keys("up")
        await scene.until(lambda: scene.main.table.cursor_row is not None)
        await scene.keys("enter")
        await scene.shows("#15", "linked")
        await scene.keys(*keys)
        await scene.shows(*shows)

    return act


@every_size
def test_detail_payload(picture: Picture, size: tuple[int, int]) -> None:
    assert picture(detail("down", "down", "down", shows=("decision",)), size)


@every_size
def test_detail_bytes(picture: Picture, size: tuple[int, int]) -> None:
    assert picture(detail("2", shows=("decision",)), size)


@every_size
def test_detail_hashes(picture: Picture, size: tuple[int, int]) -> None:
    assert picture(detail("3", shows=("prev_hash",)), size)


# Integrity


async def integrity(scene: Scene) -> None:
    scene.hands.s += 12
    await scene.keys("b")
    await scene.shows("12 s ago", "Heads")


async def integrity_broken(scene: Scene) -> None:
    scene.hands.s += 30
    scene.log.raw[6] = tampered(scene.log.raw[6], source="mallory", payload={"i": 7, "by": "nobody"})
    await scene.keys("v")
    await scene.until(lambda: "BROKEN" in scene.app.badge_text)
    await scene.told()
    await scene.keys("b")
    await scene.shows("differs from the copy received earlier")


async def integrity_broken_below(scene: Scene) -> None:
    await integrity_broken(scene)
    await scene.keys("end")
    await scene.shows("mallory", "▶")


async def integrity_rewritten(scene: Scene) -> None:
    await rewritten(scene)
    await scene.keys("b")
    await scene.shows("Rewritten at")


async def cut(scene: Scene) -> None:
    """The last four of twelve events are gone, and two others there under their ids."""
    whole = list(scene.log.raw)
    scene.log.go_away()
    await scene.until(lambda: scene.main.session.connection.state is ConnectionState.RETRYING)
    after = Head(8, read_row(RawEvent(whole[7]), DEFAULT_KINDS).hash)
    scene.log.replace([*whole[:8], *chained([("other", "cron", {"new": n}) for n in range(2)], after=after)])
    scene.log.come_back()
    session = scene.main.session
    await scene.until(lambda: bool(session.cuts.rows) and session.connection.state is ConnectionState.LIVE)
    await scene.until(lambda: scene.main.session.ring.head.event_id == 10)


async def gone(scene: Scene) -> None:
    await cut(scene)
    await scene.keys("b")
    await scene.shows("No longer in the log")
    await scene.keys("g")
    await scene.shows("4 copies here", "request_denied")


async def accepting(scene: Scene) -> None:
    await cut(scene)
    await scene.keys("A")
    await scene.shows("Forgotten:", "Type accept")


@every_size
def test_events_that_are_gone(picture: Picture, size: tuple[int, int]) -> None:
    assert picture(gone, size)


@every_size
def test_accepting_a_history(picture: Picture, size: tuple[int, int]) -> None:
    assert picture(accepting, size)


@every_size
def test_integrity_verified(picture: Picture, size: tuple[int, int]) -> None:
    assert picture(integrity, size)


@every_size
def test_integrity_broken(picture: Picture, size: tuple[int, int]) -> None:
    assert picture(integrity_broken, size)


def test_integrity_broken_below(picture: Picture) -> None:
    assert picture(integrity_broken_below, (80, 24))


@every_size
def test_integrity_rewritten(picture: Picture, size: tuple[int, int]) -> None:
    assert picture(integrity_rewritten, size)


# What is asked over the table


def opened(key: str, *then: str, shows: tuple[str, ...]) -> Act:
    """What a key opens; then what is typed there, which is keys if it is their names."""

    async def act(scene: Scene) -> None:
        await scene.keys(key)
        await scene.until(lambda: scene.app.screen is not scene.main)
        for typed in then:
            await (scene.keys(typed) if typed in ("enter", "home", "ctrl+k") else scene.types(typed))
        await scene.shows(*shows)

    return act


CONFIG = Config(
    profiles={"prod": Profile(url=URL), "standby": Profile(url=STANDBY_URL, verify_every=60)},
    filters={"denials": "kind:*denied severity:>=warning", "payments": "payload.name:payments"},
)


@every_size
def test_help(picture: Picture, size: tuple[int, int]) -> None:
    assert picture(opened("question_mark", shows=("Filter",)), size)


@every_size
def test_go_to(picture: Picture, size: tuple[int, int]) -> None:
    assert picture(opened("g", "20:27", shows=("→",)), size)


@every_size
def test_go_to_mistake(picture: Picture, size: tuple[int, int]) -> None:
    assert picture(opened("g", "25:61", shows=("✗",)), size)


@every_size
def test_note(picture: Picture, size: tuple[int, int]) -> None:
    act = opened("M", "Called the payments team.", "enter", "They roll back.", shows=("They roll back.",))
    assert picture(act, size)


@every_size
def test_named_filters(picture: Picture, size: tuple[int, int]) -> None:
    assert picture(opened("F", shows=("denials", "payments")), size, config=CONFIG)


@every_size
def test_profiles(picture: Picture, size: tuple[int, int]) -> None:
    assert picture(opened("d", shows=("prod", "standby")), size, config=CONFIG)


@every_size
def test_digest(picture: Picture, size: tuple[int, int]) -> None:
    assert picture(opened("D", shows=("Hand-over", "marked")), size, log=make_log(14, url=URL), before=mark_some)


@every_size
def test_compare(picture: Picture, size: tuple[int, int]) -> None:
    other = make_log(6, url=STANDBY_URL)
    for _ in range(4):
        other.append("request_allowed", "policy-as-code-engine", {"decision": "allow"})
    act = opened("equals_sign", "standby", "enter", shows=("≠", "prev_hash"))
    assert picture(act, size, config=CONFIG, standby=other)


@every_size
def test_export_asked(picture: Picture, size: tuple[int, int]) -> None:
    act = opened("e", "home", "ctrl+k", "denied.csv", shows=("denied.csv",))
    assert picture(act, size)


@every_size
def test_export_done(picture: Picture, size: tuple[int, int]) -> None:
    act = opened("e", "home", "ctrl+k", "denied.csv", "enter", shows=("12 events in denied.csv",))
    assert picture(act, size)
