"""A log's SQLite file as a reader sees it, beside the daemon that writes it or without one. Nothing here writes.

errors.py    what a file can answer instead
asking.py    a verdict from another process, by a deadline
opening.py   what belongs to a log, what makes it one of ours, and a connection that cannot write
query.py     what can be asked for, and how a page is laid out
search.py    which events a query selects
reader.py    the head, events and pages of events, as they are served
index.py     what a search needs, loaded from a file that no daemon holds; the whole log for an export
series.py    the (kind, source) pairs and their counts
spans.py     which ranges of the log can hold a time
segment.py   checks a range of the log, event by event; the meaning of a verdict
canonical_form.py   whether payloads are in canonical form, thousands at a time
tables.py    its tables, and whether a file has just these
verification.py  splits the log over the cores, joins the ranges, checks the ends
process.py   verification as a program of its own; JSON lines on standard output
giving_way.py   a job in a process of low priority
forked.py    no descendant of a process that forks outlives it
served.py    an event as it is served, whatever is in its row

The daemon's `store` makes the tables and writes them.
"""
