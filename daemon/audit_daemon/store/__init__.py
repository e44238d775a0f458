"""The store: one SQLite file, one writer that group-commits, readers that serve the stored bytes.

protocol.py  what the daemon asks of a store, and what a store answers
sqlite.py    SqliteStore: opens, starts and closes the parts below
schema.py    the file's tables and the connection that writes them
writer.py    the writer thread: number, link, hash, INSERT, COMMIT, then tell every waiter
checkpoint.py  moves the write-ahead log into the database without holding up the writer
bulk.py      whole logs at once: imports, exports
lock.py      one daemon a file

What only reads the file, and so needs no daemon, is `audit_stream.logfile`.
"""
