"""The work that is measured, each part by floor, bare and ours in turn.

W1            10,000 new records of one school reach central
W2            500 changed here and 500 others there become equal
W3            central changes 10,000, one pull
W4            one change until it is durable on the other side, p50 and p99 of 200
W5            100 schools with 100 changes each, at once
W6 in 500s    operators publish 10,000 changes, 500 in an event, until the last is answered
W6 singly     the same, one in an event, of the 100 schools
V all         the validator judges a school of 5,000 records
V one change  one change of it: stored, and judged

A group of them shares its schools: one_school, single_changes, many_schools, judging.
"""
