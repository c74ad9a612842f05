#!/bin/bash
# Each side's database and the role that owns it, which may connect to no other. Runs when the data folder is new; again,
# after a password was made anew: docker compose exec postgres /docker-entrypoint-initdb.d/databases.sh
set -euo pipefail
sql() { psql -q -v ON_ERROR_STOP=1 -U postgres -d postgres "$@"; }

sql -c 'REVOKE CONNECT ON DATABASE postgres FROM PUBLIC; REVOKE CONNECT ON DATABASE template1 FROM PUBLIC'
for side in site central; do
  file=/run/secrets/$side.password
  [ -e "$file" ] || continue
  sql -v role="$side" -v file="$file" <<'SQL'
\set password `cat :file`
SELECT format('CREATE ROLE %I LOGIN', :'role') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
ALTER ROLE :"role" PASSWORD :'password' NOSUPERUSER NOCREATEDB NOCREATEROLE;
SELECT format('CREATE DATABASE %I OWNER %I', :'role', :'role')
  WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'role') \gexec
REVOKE CONNECT, TEMPORARY ON DATABASE :"role" FROM PUBLIC;
SQL
done
