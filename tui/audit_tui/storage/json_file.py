"""A JSON file of one shape, changed by several consoles at once, whose damage costs its content and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from audit_stream.display import safe
from audit_stream.event import system_clock_ms
from audit_tui.storage.shared_file import TooLarge, locked, private_directory, read_small, replace, set_aside

__all__ = ["JsonFile", "say_once", "storable"]

T = TypeVar("T", bound=msgspec.Struct)


def say_once(problems: list[str], sentence: str) -> None:
    """Add a sentence for people, safe to show, unless it is there already."""
    shown = safe(sentence)
    if shown not in problems:
        problems.append(shown)


def storable(text: str) -> str:
    """A text that JSON can carry: a path may hold bytes that are no characters, which are escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


class JsonFile(Generic[T]):
    """One file. Both methods block and never raise: what goes wrong is said in `problems`, each thing once.

    `what` names the content in such a sentence. `fits` says whether content of the right shape is acceptable too.
    A file that cannot be understood is renamed and kept. Safe to use from several threads and processes at once.
    """

    def __init__(
        self,
        path: Path,
        shape: type[T],
        *,
        what: str,
        max_bytes: int,
        problems: list[str],
        fits: Callable[[T], bool] = lambda _: True,
    ) -> None:
        self._path = path
        self._decoder = msgspec.json.Decoder(shape)
        self._what = what
        self._max_bytes = max_bytes
        self._problems = problems
        self._fits = fits

    def read(self) -> T | None:
        """The content; None when there is none, or none that can be used."""
        try:
            try:
                return self._decoded(read_small(self._path, max_bytes=self._max_bytes))
            except (TooLarge, ValueError, RecursionError):
                with locked(self._path):  # perhaps another console is just setting it aside
                    return self._usable()
        except OSError as error:
            self._say(f"{self._what} cannot be read", error)
            return None

    def change(self, change: Callable[[T | None], T]) -> T | None:
        """Replace the content by what `change` makes of it; that is on disk on return. None when it could not be.

        No other console comes in between. `change` may see content that another console has written.
        """
        try:
            private_directory(self._path.parent)
            with locked(self._path):
                before = self._usable()
                after = change(before)
                content = msgspec.json.format(msgspec.json.encode(after), indent=1)
                if len(content) > self._max_bytes:
                    say_once(self._problems, f"{self._what} cannot be saved: more than {self._max_bytes:,} bytes")
                    return None
                if before is None or after != before:
                    replace(self._path, content)
                return after
        except OSError as error:
            self._say(f"{self._what} cannot be saved", error)
            return None

    def _usable(self) -> T | None:
        """The content, once damage has been set aside; the lock is held."""
        try:
            return self._decoded(read_small(self._path, max_bytes=self._max_bytes))
        except (TooLarge, ValueError, RecursionError) as error:
            aside = set_aside(self._path, system_clock_ms())
            reason = str(error).replace("`", "'")
            say_once(self._problems, f"{self._what} could not be understood ({reason}) and was kept as {aside}")
            return None

    def _decoded(self, content: bytes | None) -> T | None:
        """Raises ValueError, RecursionError."""
        if content is None:
            return None
        found = self._decoder.decode(content)
        if not self._fits(found):
            raise ValueError("it is about something else")
        return found

    def _say(self, sentence: str, error: OSError) -> None:
        say_once(self._problems, f"{sentence}: {error.strerror or error} ({error.filename or self._path})")
