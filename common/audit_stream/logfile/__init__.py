"""A log's SQLite file as a reader sees it, beside the daemon that writes it or without one. Nothing here writes.

tables.py          its tables, and whether a file has just these
opening.py         what belongs to a log, what makes it one of ours, and a connection that cannot write
errors.py          what a file can answer instead

query.py           what can be asked for, and how a page is laid out
reader.py          the head, events and pages of events, as they are served
served.py          an event as it is served, whatever is in its row
search.py          which events a query selects
series.py          the (kind, source) pairs and their counts
spans.py           which ranges of the log can hold a time
index.py           what a search needs, loaded from a file that no daemon holds; the whole log for an export

verification.py    a verdict: splits the log over the cores, joins the ranges, checks the ends
segment.py         checks a range of the log, event by event; the meaning of a verdict
canonical_form.py  whether payloads are in canonical form, thousands at a time
process.py         verification as a program of its own; JSON lines on standard output
giving_way.py      a job in a process of low priority
forked.py          no descendant of a process that forks outlives it
asking.py          a verdict from such a process, by a deadline

The daemon's `store` makes the tables and writes them.
"""
