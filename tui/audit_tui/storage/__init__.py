"""What the console keeps on disk. Files are 0600, directories 0700.

paths.py          where: platformdirs, or what AUDIT_TUI_CONFIG and AUDIT_TUI_STATE say
config.py         the settings that a person writes, read only
heads.py          verified heads of each daemon, by which a rewritten history is noticed
marks.py          marks and notes on events
session_state.py  how the console was left
json_file.py      a JSON file that several consoles change; shared_file.py, how it is locked, read and replaced
new_file.py       evidence, beside what is there already

What works on a file blocks, so the console calls it in a thread; each docstring says which methods those are. All of it
may be called from several threads.
"""
