"""The site's store: tables and every SQL statement of the site.

records   one school's records, in and out by key       changes   an operator's event, decided and stored
judging   what the rules say, and whether it still counts   requests  syncs and pulls as rows, and the leases
neighbours   what a rule reads beside the record it judges
sessions  what a session does, step by step               status, gauges  what people and Prometheus are shown
"""
