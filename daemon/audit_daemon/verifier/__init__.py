"""Verification: when the file is verified, by a process of its own (`audit_stream.logfile.process`).

schedule.py  single flight, the daemon's own rhythm, the last verdict
"""
