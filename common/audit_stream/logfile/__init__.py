"""A log's SQLite file as a reader sees it, beside the daemon that writes it or without one. Nothing here writes.

errors.py    what a file can answer instead
opening.py   what makes a file one of ours, and a connection that cannot write
query.py     what can be asked for, and how a page is laid out
selected.py  a reader's selection as such a query
reader.py    pages of events, in one SQLite step each
series.py    the (kind, source) pairs and their counts
spans.py     which stretches of the log can hold a time
segment.py   checks a stretch of the log, event by event; the meaning of a verdict
walk.py      splits the log over the cores, joins the stretches, checks the ends
process.py   the walk as a program of its own; JSON lines on standard output

The daemon's `store` makes the tables and writes them; its `schema.py` says what they hold.
"""
