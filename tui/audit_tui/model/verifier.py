"""Who gives the verdicts on the whole chain, in words: a daemon, or the walk over a file when there is none."""

from __future__ import annotations

import msgspec

from audit_tui.log import is_address

__all__ = ["DAEMON", "FILE", "Verifier", "verifier_of"]


class Verifier(msgspec.Struct, frozen=True):
    """`name` begins a line; `words` are the subject of a sentence, in its middle."""

    name: str
    words: str

    @property
    def opening(self) -> str:
        """The subject at the beginning of a sentence."""
        return f"{self.words[0].upper()}{self.words[1:]}"


DAEMON = Verifier("daemon", "the daemon")
FILE = Verifier("file", "the walk over the file")


def verifier_of(url: str) -> Verifier:
    """Who judges the log of this `Log.url`."""
    return DAEMON if is_address(url) else FILE
