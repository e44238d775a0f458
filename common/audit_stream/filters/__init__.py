"""The filter language: one grammar for `?q=`, the stream, the command line and the console's filter bar.

`parse` turns a text into a `Filter`, `matches` says which events it lets through, and `plan` tells a SQL store how to
find them; `register` installs the SQL functions that a plan needs. `docs/filters.md` is the page for users.

    text ─ syntax.py, grammar.lark ─▶ words ─ values.py, parser.py ─▶ tree.py ─┬─▶ matching.py, content.py
                                                                             └─▶ planning.py, sql.py, sqlite.py

literals.py says how values are written, globs.py what `*` means, errors.py what is wrong with a text and where.
"""

from audit_stream.filters.errors import FilterError
from audit_stream.filters.matching import matches
from audit_stream.filters.parser import parse
from audit_stream.filters.planning import Plan, plan
from audit_stream.filters.sqlite import register
from audit_stream.filters.tree import Filter

__all__ = ["Filter", "FilterError", "Plan", "matches", "parse", "plan", "register"]
