#!/bin/sh
# Brings deploy/compose.yaml up as a project of its own, runs tests/compose against it, and takes it down with its data.
# Uses the machine's Docker; where there is none, the command in COMPOSE_ENGINE: `$COMPOSE_ENGINE PROJECT_DIR COMMAND…`
# builds and starts the compose project in a folder, runs a command beside it, and takes it down.
set -eu
cd "$(dirname "$0")/.."
root=$PWD

# Nothing of an installation that runs on this machine is touched: other names, other ports.
[ $# -gt 0 ] || set -- tests/compose
export COMPOSE_PROJECT_NAME=selaras-test COMPOSE_PROFILES=watch SELARAS_IMAGE=selaras:test
export AMQPS_PORT=45771 PROMETHEUS_PORT=49190 ALERTMANAGER_PORT=49193

if docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1; then
    cd deploy
    trap 'docker compose down -v -t 10 --remove-orphans >/dev/null 2>&1' EXIT
    trap 'exit 130' INT TERM
    docker compose down -v -t 10 --remove-orphans >/dev/null 2>&1 # what an earlier run that was killed left behind
    docker compose build -q
    docker compose up -d --no-build --wait --wait-timeout 180 || { docker compose ps -a; docker compose logs --tail 40; exit 1; }
    cd "$root"
    .venv/bin/pytest -p no:xdist "$@"
elif [ -n "${COMPOSE_ENGINE:-}" ]; then
    "$COMPOSE_ENGINE" "$root/deploy" sh -c 'cd "$1" && shift && .venv/bin/pytest -p no:xdist "$@"' sh "$root" "$@"
else
    echo "make test-compose needs Docker with its compose plugin, running (or COMPOSE_ENGINE, see docs/deployment.md)." >&2
    exit 1
fi
