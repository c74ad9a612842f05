"""`make bench`: Selaras beside the fastest that could be done with the same servers and no promises, in one run.

floor  the rows straight into one PostgreSQL
bare   500 records per confirmed message on a quorum queue, one set-based upsert each: no protocol, no rules, no proof
ours   everything on: rules, merge, verdicts, both sides durable, roots compared, statement signed

Machines are noisy and differ: what counts is the ratio of two medians of one run, whose parts take turns.

records   the same records for all three
floor     the floor
bare      the two peers of bare, a process each
ours      the running system, driven by published events as people and officers drive it
measure   processor time and memory of processes
report    the table, JSON, and the plot
"""
