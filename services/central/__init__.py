"""Central: the registry of all schools, and what sites and officers ask of it.

app             the settings and the wiring
exchange        a site's requests: register, open, fetch, push, verify
officers        officers' changes
admission       which OPEN is granted: whose, and whether the site is an old copy or ahead of central
line            how many sessions are live at once, and the line of those who wait
administration  what an administrator does on the database itself: add a school, a new code, describe
schools         the school's row: its lock, its registration, its live session, its last batch
registry        the records: read, write, page, and the root over them
mending         where two roots differ, and central's own rows mended from what a statement proves
auditing        central's own past against what it signed
history         what was superseded: as of any seq, between two, what a later hand hides
moments         which seq a moment means: a seq, a session, a receipt, a date
explaining      what a receipt is worth now, also one from before central was put back
cutoff          all schools as of one moment, as the lines of a file
inquiries       officers' questions about the past
claims          which numbers of persons (NIK, NISN, NUPTK) are in use where
residu          the follow-up of a change of claims: the residu at every school that uses the same number
judging         validasi pusat: central's own verdict on a school, with all rules
background      the loops that do the follow-ups and the judging
receipts        statements that both sides are equal
gauges          what central shows to Prometheus

All SQL of central's database is here; every statement names one npsn, but for the gauges, the line, the claims
(keyed by the number), the cut-off and the look for what the background has to do.
"""
