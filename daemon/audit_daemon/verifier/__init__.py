"""Verification: walking a store's file in a process of its own.

segment.py   checks a stretch of the log, event by event; the meaning of a verdict
walk.py      splits the log over the cores, joins the stretches, checks the ends
process.py   what the daemon runs as a separate process; JSON lines on standard output
schedule.py  single flight, the daemon's own rhythm, the last verdict
"""
