"""The store: one SQLite file, one writer that group-commits, readers that serve the stored bytes.

protocol.py  what the daemon asks of a store, and what a store answers
sqlite.py    SqliteStore: opens, starts and closes the parts below
schema.py    the file's tables and how connections to it are opened
writer.py    the writer thread: number, link, hash, INSERT, COMMIT, then tell every waiter
checkpoint.py  moves the write-ahead log into the database without holding up the writer
reader.py    pages of events, in one SQLite step each
series.py    the (kind, source) pairs and their counts
spans.py     which stretches of the log can hold a time
lock.py      one daemon a file
"""
