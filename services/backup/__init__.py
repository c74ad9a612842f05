"""Backups of one database: made from one moment, sealed for their owner, counted when they are read again.

archive    the form of a backup: a tar of rows as COPY writes them, in zstd
sealing    age: whoever makes a backup cannot read it
folder     where backups are kept: whole files under their names, so many of each database
ledger     the table `backup`, which both databases have: what was tried, and what came of it
taking     database → file
reading    file → counts, or an empty database
schedule   when the next one is due: pure
serving    the part of a service that makes them by itself, and its metrics
"""
