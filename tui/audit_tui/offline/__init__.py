"""Evidence without a daemon, read as if one served it.

database.py       a daemon's SQLite file, also beside a daemon that writes it
database_file.py  what its thread reads there
export.py         events as `GET /events` or `audit-stream export` gives them
export_file.py    where they stand in the file, and what they are
export_check.py   the verdict on them
recognise.py      what a file is, by how it begins
reading.py        the thread that reads, what is selected, and the order of an answer
"""

from audit_tui.offline.database import DatabaseLog
from audit_tui.offline.export import ExportLog

__all__ = ["DatabaseLog", "ExportLog"]
