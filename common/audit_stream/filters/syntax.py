"""The shape of a filter text: terms, words and where each stood. The only module that knows lark.

lark is imported when the first filter is read, because it takes longer to load than the rest of the package and most
processes never read one.
"""

from __future__ import annotations

import functools
import re
from importlib import resources
from typing import TYPE_CHECKING

import msgspec

from audit_stream.filters.errors import FilterError

if TYPE_CHECKING:
    from lark import Lark, Token, Tree

__all__ = ["Piece", "SyntaxTerm", "Word", "read"]


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """A run of characters of a word; `text` is without the quotes and escapes of a quoted one."""

    text: str
    quoted: bool


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """A value, a field's name or a word of free text: pieces without a space between them."""

    pieces: tuple[Piece, ...]
    position: int
    length: int

    @property
    def text(self) -> str:
        """What the word says, quoted or not."""
        return "".join(piece.text for piece in self.pieces)

    @property
    def bare(self) -> str | None:
        """The text when no part of it is quoted, so that numbers, operators and stars in it mean something."""
        return None if any(piece.quoted for piece in self.pieces) else self.text

    def error(self, message: str) -> FilterError:
        """An error about this word."""
        return FilterError(message, position=self.position, length=self.length)


class SyntaxTerm(msgspec.Struct, frozen=True, kw_only=True):
    """A term by its shape alone. `name` is None for free text."""

    negated: bool
    name: Word | None
    values: tuple[Word, ...]


def read(text: str) -> list[SyntaxTerm]:
    """The terms of a text that is not blank, in order. Raises FilterError."""
    from lark.exceptions import UnexpectedCharacters, UnexpectedToken

    try:
        tree = _parser().parse(text)
    except UnexpectedCharacters as error:
        raise _explain(text, error.pos_in_stream) from None  # type: ignore[arg-type]  # lark sets it, declared as None
    except UnexpectedToken as error:
        # The end of the text carries the place of the last token instead of its own.
        position = len(text) if error.token.type == "$END" else error.token.start_pos
        raise _explain(text, position) from None
    return [_term(child) for child in tree.children if not isinstance(child, str)]


@functools.cache
def _parser() -> Lark:
    from lark import Lark

    grammar = resources.files("audit_stream.filters").joinpath("grammar.lark").read_text("utf-8")
    return Lark(grammar, parser="lalr", lexer="contextual")


def _explain(text: str, position: int) -> FilterError:
    """The error at a place where the grammar allows nothing; the characters around it say which of five it is."""
    before, at = text[position - 1 : position], text[position : position + 1]
    if at == '"':
        return FilterError(
            'this quote is never closed: add a ", or write \\" for the character itself',
            position=position,
            length=len(text) - position,
        )
    if before and before in ":,":
        return FilterError(
            'a value is missing here: put no space after a colon or a comma, and write "" for empty text',
            position=position,
            length=0,
        )
    if at == ",":
        return FilterError("a value is missing before this comma: put no space around it", position=position, length=1)
    if at == ":":
        return FilterError(
            'there is no field before this colon: write field:value, or quote text that contains one, such as "a:b"',
            position=position,
            length=1,
        )
    return FilterError(
        'a "-" is for the term that follows it without a space; quote it to search for the character',
        position=max(position - 1, 0),
        length=1,
    )


def _term(tree: Tree[Token]) -> SyntaxTerm:
    words = [_word(child) for child in tree.children if not isinstance(child, str)]
    is_field = tree.data == "field"
    return SyntaxTerm(
        negated=getattr(tree.children[0], "type", None) == "NOT",
        name=words[0] if is_field else None,
        values=tuple(words[1:] if is_field else words),
    )


def _word(tree: Tree[Token]) -> Word:
    tokens = [child for child in tree.children if isinstance(child, str)]
    position = tokens[0].start_pos or 0
    return Word(
        pieces=tuple(map(_piece, tokens)),
        position=position,
        length=(tokens[-1].end_pos or 0) - position,
    )


def _piece(token: Token) -> Piece:
    if token.type != "QUOTED":
        return Piece(text=str(token), quoted=False)
    for escape in re.finditer(r"\\(.)", token, re.DOTALL):
        if escape.group(1) not in '"\\':
            raise FilterError(
                'in quotes a backslash stands before " or \\ only: write \\\\ for the character itself',
                position=(token.start_pos or 0) + escape.start(),
                length=2,
            )
    return Piece(text=re.sub(r"\\(.)", r"\1", token[1:-1]), quoted=True)
