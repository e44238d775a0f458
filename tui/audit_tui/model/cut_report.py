"""What is gone from a log, and what accepting that means, in plain lines. All of it safe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from audit_stream.chain import Head
from audit_stream.display import counted, safe
from audit_tui.model.cuts import Cut, Cuts
from audit_tui.model.integrity_report import Remembered, when

__all__ = ["accept_text", "cut_lines", "cuts_text"]


def cut_lines(cut: Cut, heads: Iterable[Remembered], head_id: int) -> list[str]:
    """What is gone, and what brackets it. `heads` are those remembered on disk, `head_id` is the log's last id now."""
    seen_ms = cut.seen_ms or next(
        (head.last_seen_ms for head in heads if (head.event_id, head.hash) == (cut.before.event_id, cut.before.hash)),
        None,
    )
    lines = [f"✗ {cut.summary}" if cut.settled else f"✗ {cut.summary}; how far it goes back is being looked up"]
    if replaced := cut.replaced(head_id):
        lines.append(f"  the log holds other events now under {replaced}")
    if cut.there is not None:
        there = "none" if cut.there.event_id == 0 else f"#{cut.there.event_id} {safe(cut.there.hash[:12])}"
        lines.append(f"  the last that is still there  {there}")
    lines.append(f"  the last that was there       #{cut.before.event_id} {safe(cut.before.hash[:12])}")
    if seen_ms is not None:
        lines.append(f"  known to be there until       {when(seen_ms)}")
    lines.append(f"  found gone                    {when(cut.found_ms)}")
    lines.append(f"  the log's last event then     {f'#{cut.now.event_id}' if cut.now.event_id else 'none'}")
    if cut.returned_ms is not None:
        lines.append(f"  there again                   {when(cut.returned_ms)}")
    after, by = cut.received
    if cut.rows and by is not None:
        lines.append(f"  received here                 {'by' if after is None else f'{when(after)} to'} {when(by)}")
    if cut.settled and cut.returned_ms is None:
        saved = ", in a file too" if cut.saved else ", in no file yet"
        lines.append(f"  copies in this console        {f'{len(cut.rows):,}{saved}' if cut.rows else 'none'}")
    return lines


def cuts_text(cuts: Cuts, heads: Sequence[Remembered], head_id: int) -> str:
    """All cuts, the newest first."""
    lines = [line for cut in reversed(cuts.all) for line in cut_lines(cut, heads, head_id)]
    if cuts.unkept:
        lines.append(f"  {cuts.unkept:,} more copies were too many to keep")
    return "\n".join(lines)


def accept_text(rewritten: str, head: Head, heads: Sequence[Remembered], cuts: Cuts) -> str:
    """What accepting means: what was `rewritten`, in words, what is there now, what will be forgotten, what stays."""
    there = f"#{head.event_id} {safe(head.hash[:12])}" if head.event_id else "no event"
    lines = [rewritten, *(f"  {cut.summary}" for cut in cuts.all if cut.returned_ms is None)]
    lines.append(f"The log ends now with {there}: from then on that is the history to compare with.")
    if heads:
        newest = max(heads, key=lambda each: each.event_id)
        lines.append(
            f"Forgotten: {counted(len(heads), 'remembered head')}, the newest #{newest.event_id} "
            f"{safe(newest.hash[:12])}. No console with this state directory will miss those events again."
        )
    kept = "Kept: a record of when you accepted, and of the newest head that was given up"
    copies = f"; the copies of {counted(len(cuts.rows), 'event')} that are gone, until this console is closed"
    lines.append(f"{kept}{copies if cuts.rows else ''}.")
    if cuts.unsaved:
        lines.append(f"✗ {counted(cuts.unsaved, 'event')} would be only here, and in no file: b, g, then E or e first.")
    lines.append("Nothing is written to the log, and other consoles go on asking.")
    lines.append("To silence the alarm only, leave this and press a.")
    return "\n".join(lines)
