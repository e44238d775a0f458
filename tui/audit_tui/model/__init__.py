"""The console's state: plain classes without a screen, a socket or a clock of their own.

What comes in
    rows.py, ring.py        an event and its place in the chain; the last 50,000 that came in, checked one by one
    trail.py                the hashes of those that had to go
    passing.py, view.py     which pass the filter; the window over ring and history that the table shows
    cursor.py               where in the window one is, and what is selected
    activity.py, tallies.py counts, rates and silences of kinds and sources

What may be believed
    integrity.py            everything that is held for or against the log, and the badge that follows from it
    red.py, findings.py, walks.py, verifier.py    a red that stays; what was found; when to verify; who gives verdicts
    badge.py, badge_words.py, integrity_report.py, breakage.py    all that in words

What is asked for
    filter_text.py, completion.py, find.py, places.py    typed texts
    columns.py, detail.py, detail_text.py, outline.py    what is shown of an event
    divergence.py, collect.py, exporting.py              two histories compared; evidence; files
    connection.py                                        the connection in words
"""
