"""Options that several commands share, so that they are spelled, explained and understood alike."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from audit_daemon.cli.errors import CommandError, UnknownOption
from audit_stream.client import DEFAULT_URL, Selection
from audit_stream.errors import TimestampError
from audit_stream.kinds import DEFAULT_KINDS, KindRegistry
from audit_stream.paths import typed_path
from audit_stream.timestamps import parse_rfc3339_ms
from audit_stream.wire import URL_VARIABLE

__all__ = [
    "Db",
    "Json",
    "Kinds",
    "Since",
    "Sources",
    "Until",
    "Url",
    "UrlOrDb",
    "Words",
    "daemon_url",
    "database_path",
    "filter_terms",
    "known_kinds",
    "selection",
]

_URL_HELP = "The daemon's address; one that ends in /events, as producers have it, is fine."

Url = Annotated[str, Parameter(env_var=URL_VARIABLE, help=_URL_HELP)]
UrlOrDb = Annotated[
    str | None,
    Parameter(name="--url", help=f"{_URL_HELP} Not with --db. [env var: {URL_VARIABLE}] [default: {DEFAULT_URL}]"),
]
"""A `Url` where the command has to know whether it was given, beside a file: a variable does not count as such."""
Db = Annotated[Path | None, Parameter(name="--db", help="The daemon's SQLite file; by default that of the settings.")]
Json = Annotated[
    bool,
    Parameter(name="--json", negative=(), show_default=False, help="Print JSON, one value a line, for other programs."),
]
Kinds = Annotated[
    list[str] | None, Parameter(name="--kind", negative=(), help="Only this kind; give it again for more.")
]
Sources = Annotated[
    list[str] | None, Parameter(name="--source", negative=(), help="Only this source; give it again for more.")
]
Since = Annotated[
    str | None, Parameter(help="From this time on: an RFC 3339 instant, or a duration before now such as 15m, 2h, 7d.")
]
Until = Annotated[str | None, Parameter(help="Up to this time, written as for --since.")]
Words = Annotated[
    str,
    Parameter(
        name="FILTER",
        allow_leading_hyphen=True,
        help="Terms of the filter language: kind:watch_*, payload.burn_rate:>2, -source:x, free text.",
    ),
]


_ONE_LETTER = re.compile(r"-[^\W\d_]")
_NO_WORDS = {"AND", "OR", "NOT"}


def selection(
    words: tuple[str, ...],
    kinds: list[str] | None,
    sources: list[str] | None,
    since: str | None = None,
    until: str | None = None,
) -> Selection:
    """What these options ask the daemon for. A duration is a term of the filter: the daemon's clock counts.

    Raises CommandError for a word that is rather a mistyped option, or an operator of some other language.
    """
    for word in words:
        _check_word(word)
    q = " ".join(term for _, term in filter_terms(words, since, until))
    times = {"since": since, "until": until}
    instants = {name: value for name, value in times.items() if value is not None and _is_instant(value)}
    wanted = Selection(kinds=tuple(kinds or ()), sources=tuple(sources or ()), q=q, **instants)
    try:
        "".join(str(value) for _, value in wanted.parameters()).encode()
    except UnicodeEncodeError:
        raise CommandError("an argument is not valid UTF-8") from None
    return wanted


def filter_terms(words: Sequence[str], since: str | None, until: str | None) -> list[tuple[str, str]]:
    """The filter's terms in its order, each after what was typed for it."""
    terms = [(word, word) for word in words]
    for name, value in (("since", since), ("until", until)):
        if value is not None and not _is_instant(value):
            terms.append((f"--{name} {value}", f"{name}:{value}"))
    return terms


def _is_instant(text: str) -> bool:
    try:
        parse_rfc3339_ms(text)
    except TimestampError:
        return False
    return True


def _check_word(word: str) -> None:
    if word.startswith("--"):
        raise UnknownOption(word)
    if _ONE_LETTER.fullmatch(word):
        text = f'"{word[1:]}"'
        raise UnknownOption(word, f"to leave out events that contain {text}, write '-{text}'")
    operators = _NO_WORDS.intersection(word.split()) if '"' not in word else ()
    for operator in operators:
        raise CommandError(
            f"filters have no {operator}: write a comma for or: kind:a,b, a - before a term for not, "
            f"and nothing for and; to search for the word, write '\"{operator}\"'"
        )


def daemon_url(url: str | None) -> str:
    """The address that `--url` gives, or else the environment."""
    return os.environ.get(URL_VARIABLE, DEFAULT_URL) if url is None else url


def known_kinds() -> KindRegistry:
    """The kinds of the daemon's settings, for their severities; the built-in ones when those cannot be used.

    A command that reads from a daemon somewhere else needs no settings here, so a mistake in them is none of its own.
    """
    from audit_daemon.settings import SettingsError, load

    try:
        return load({}).kinds
    except SettingsError:
        return DEFAULT_KINDS


def database_path(db: Path | None) -> Path:
    """The file that a command works on: `--db`, or the one of the daemon's settings. Raises SettingsError."""
    if db is not None:
        return typed_path(db)
    from audit_daemon.settings import load

    return load({}).db_path
