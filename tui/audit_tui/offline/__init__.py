"""Evidence without a daemon, read as if one served it.

database.py       a daemon's SQLite file, also beside a daemon that writes it
database_file.py  what its thread reads there
export.py         events as `GET /events` or `audit-stream export` gives them
export_file.py    where they stand in the file, and what they are
export_check.py   the verdict on them
recognise.py      what a file is, by how it begins
one_thread.py     the thread that reads
serving.py        one event in the form that a daemon serves
wanted.py         which events are selected
"""

from audit_tui.offline.database import DatabaseLog
from audit_tui.offline.export import ExportLog

__all__ = ["DatabaseLog", "ExportLog"]
