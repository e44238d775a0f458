"""What the app needs of Textual and finds under private names only, as of 8.2.8: look here first with another version.

No issue of Textual's is known that asks for either; Textualize/textual#4704, of keys that a closing screen still gets,
is the nearest.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TypeVar

from textual.app import App
from textual.screen import Screen

__all__ = ["mounted", "write_to_terminal"]

Result = TypeVar("Result")


async def mounted(screen: Screen[Result], *, timeout_s: float) -> None:
    """Return once the screen handles keys, or when that takes too long. `is_mounted` says so but cannot be awaited."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await screen._mounted_event.wait()


def write_to_terminal(app: App[Result], text: str) -> None:
    """Write an escape sequence between two frames, if there is a terminal. Only `bell` and the clipboard are public."""
    if app._driver is not None and not app.is_headless:
        app._driver.write(text)
