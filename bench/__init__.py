"""`make bench`: Selaras beside the fastest that could be done with the same servers and no promises, in one run.

floor  the rows straight into one PostgreSQL
bare   500 records per confirmed message on a quorum queue, one set-based upsert each: no protocol, no rules, no proof
ours   everything on: rules, merge, verdicts, both sides durable, roots compared, statement signed

Machines are noisy and differ: what counts is the ratio of two medians of one run, whose parts take turns.

speed      the command: W1 to W6 and V
workloads  what is done, a file for each group of workloads
records    the same records for all three
floor      the floor
bare       a peer of bare; pair: both of them, a process each
ours       the running system, driven by published events as people and officers drive it
measure    processor time and peak memory of processes
figures    what was measured, its medians, and the targets
report     the tables; plot: the SVG

growth     the command: what a change costs as the registry, the number of schools and a school itself grow
filling    databases filled with schools
backlog    the command: memory while 100,000 messages wait

docs/performance.md has the figures, and how to read them.
"""
