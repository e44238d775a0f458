"""Evidence without a daemon, read as if one served it.

database.py  a daemon's SQLite file, also beside a daemon that writes it
export.py    events as `GET /events` or `audit-stream export` gives them, one a line
"""

from audit_tui.offline.database import DatabaseLog
from audit_tui.offline.export import ExportLog

__all__ = ["DatabaseLog", "ExportLog"]
