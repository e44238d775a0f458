"""Which events a reader asks for."""

from __future__ import annotations

import msgspec

__all__ = ["EVERYTHING", "Parameters", "Selection"]

Parameters = list[tuple[str, str | int | float | bool | None]]
"""Of a query, as httpx takes them; a name may come again."""


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which events: any of the kinds AND any of the sources AND the filter `q`; times are RFC 3339 instants."""

    kinds: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    q: str = ""
    since: str = ""
    until: str = ""

    def parameters(self) -> Parameters:
        """As query parameters."""
        named = [("q", self.q), ("since", self.since), ("until", self.until)]
        return [
            *(("kind", kind) for kind in self.kinds),
            *(("source", source) for source in self.sources),
            *((name, value) for name, value in named if value),
        ]


EVERYTHING = Selection()
