"""What a daemon refuses in a selection, said of the words and options that were typed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate

from audit_daemon.cli.errors import CommandError
from audit_daemon.cli.options import filter_terms, known_kinds
from audit_stream.errors import ClientError
from audit_stream.filters import FilterError

__all__ = ["refusals"]

_FILTER = re.compile(r"q, at position (\d+): (.*)", re.ASCII | re.DOTALL)
_KIND = "kind: not a known kind"
_SHOWN = 64


@contextmanager
def refusals(
    words: Sequence[str], kinds: Sequence[str] | None, since: str | None = None, until: str | None = None
) -> Iterator[None]:
    """Turn a refusal of what `selection` made of the same arguments into a CommandError that names the argument."""
    try:
        yield
    except FilterError as error:
        raise CommandError(_of_filter(words, since, until, error.position, error.message)) from None
    except ClientError as error:
        found = _FILTER.fullmatch(str(error))
        if error.status == 400 and found is not None:
            raise CommandError(_of_filter(words, since, until, int(found[1]), found[2])) from None
        if error.status == 400 and str(error).startswith(_KIND):
            raise CommandError(_of_kinds(kinds or (), str(error))) from None
        raise


def _of_filter(words: Sequence[str], since: str | None, until: str | None, position: int, message: str) -> str:
    terms = filter_terms(words, since, until)
    ends = accumulate(len(term) + 1 for _, term in terms)  # with the space that joins it to the next
    typed = next((typed for (typed, _), end in zip(terms, ends, strict=True) if position < end), "the filter")
    shown = typed if len(typed) <= _SHOWN else f"{typed[: _SHOWN - 1]}…"
    return f"{shown}: {message}"


def _of_kinds(kinds: Sequence[str], refusal: str) -> str:
    """Which kind is not known is guessed from the kinds that are known here; the daemon's own may be others."""
    known = [kind.name for kind in known_kinds()]
    for kind in kinds:
        if kind not in known:
            near = difflib.get_close_matches(kind, known, 1)
            advice = f"did you mean {near[0]}?" if near else refusal.partition("; ")[2]
            return f"--kind {kind}: not a known kind: {advice}"
    return f"--{refusal}"
