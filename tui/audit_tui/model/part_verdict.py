"""A part of a log, such as a filtered export: what holds of it, and which links it cannot show."""

from __future__ import annotations

from audit_stream.chain import Verdict
from audit_stream.display import counted

__all__ = ["NAMED_LINKS", "PartVerdict"]

NAMED_LINKS = 3
"""Of those that cannot be shown the first are named: a filter leaves out thousands."""


class PartVerdict(Verdict, frozen=True, kw_only=True):
    """The verdict on a part: `valid` says that each hash fits, and each link between neighbours that are both there.

    Of `unseen_links` links the events between are not there: `first_unseen` has the ids on both sides of the first few.
    `first_id` is where it begins, `ends_within` the line in which the file breaks off, "" when it does not.
    """

    unseen_links: int = 0
    first_unseen: tuple[tuple[int, int], ...] = ()
    first_id: int = 1
    ends_within: str = ""

    @property
    def words(self) -> str:
        """What it is, for the badge."""
        if self.unseen_links:
            return f"{counted(self.unseen_links, 'link')} not shown"
        return "incomplete" if self.ends_within else f"begins at #{self.first_id}"

    @property
    def sentences(self) -> str:
        """What holds, what cannot be shown, and why."""
        said = [f"This is a part of a log. {counted(self.checked, 'event')}: each hash fits its event"]
        said[0] += ", and events that follow one another are linked." if self.checked > 1 else "."
        if self.unseen_links:
            named = [f"#{before} to #{after}" for before, after in self.first_unseen]
            more = self.unseen_links - len(named)
            named += [f"{more:,} more"] if more else []
            links = " and ".join(filter(None, [", ".join(named[:-1]), named[-1]]))
            said.append(f"What links {links} is not in the file: it was filtered, or events were taken out.")
        if self.first_id > 1:
            said.append(f"It begins at #{self.first_id}: nothing is known of the events before.")
        if self.ends_within:
            said.append(f"It ends within {self.ends_within}: the file is incomplete.")
        return " ".join(said)
