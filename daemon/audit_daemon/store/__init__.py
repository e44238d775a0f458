"""The store: one SQLite file, one writer that group-commits, readers that serve the stored bytes.

protocol.py  what the daemon asks of a store, and what a store answers
sqlite.py    SqliteStore: opens, starts and closes the parts below
schema.py    the file's tables and the connection that writes them
writer.py    the writer thread: number, link, hash, INSERT, COMMIT, then tell every waiter
checkpoint.py  moves the write-ahead log into the database without holding up the writer
bulk.py      a whole chain at once, for imports
lock.py      one daemon a file
files.py     whether the files that are open are still those that are there
rescue.py    what was acknowledged, saved when they are not
pages.py     the events that lie in a file's pages, where SQLite finds no way through it
searches.py  searches take turns on threads of their own
packed_ids.py  the ids of a long answer, in little memory
acknowledged.py  the last acknowledged event, beside the database
own_file.py  such files in a folder where others may write

What only reads the file, and so needs no daemon, is `audit_stream.logfile`.
"""
