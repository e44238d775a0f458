"""Which events a reader of a file has selected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audit_stream.client import EVERYTHING, Selection
from audit_stream.errors import ClientError, TimestampError

if TYPE_CHECKING:
    from audit_stream.logfile.query import Criteria

__all__ = ["criteria_of"]


def criteria_of(selection: Selection) -> Criteria | None:
    """What an event must be like; None when every event will do.

    Raises ClientError with the status and nearly the words with which a daemon refuses. Relative times count from now.
    The first call loads the filter language, which takes a tenth of a second: not for the event loop's thread.
    """
    if selection == EVERYTHING:
        return None
    from audit_stream.filters import FilterError
    from audit_stream.logfile.query import EVERYTHING as ALL
    from audit_stream.logfile.selected import file_query

    try:
        criteria = file_query(selection).criteria
    except FilterError as error:
        raise ClientError(f"q, at position {error.position}: {error.message}", status=400) from None
    except TimestampError as error:
        raise ClientError(f"since or until: {error}", status=400) from None
    return None if criteria == ALL else criteria
