#!/bin/sh
# Makes .venv from requirements.lock, so that a fresh clone needs nothing but Python 3.11 to 3.13. Does nothing, in a few
# milliseconds, when it is up to date. PYTHON=/path/to/python chooses the Python.
set -eu
cd "$(dirname "$0")/.."
umask 022 # the private PostgreSQL runs as another user, who must be able to read its programs

say() { printf '%s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

if command -v flock >/dev/null; then # two makes at once: the second waits, and finds it done
    exec 9<requirements.lock
    flock 9
fi

# What .venv was made from. A venv cannot be moved, so where it is belongs to it; without PYTHON any Python will do.
has=$(cat .venv/.ready 2>/dev/null || true)
locked="$(cksum <requirements.lock) $PWD"
chosen="${PYTHON:-$(printf '%s\n' "$has" | sed -n 3p)}"
wanted="$locked
$(cksum <pyproject.toml)
$chosen"
runs() { .venv/bin/python -c 'import pip' 2>/dev/null 9<&-; }

if [ "$has" = "$wanted" ] && [ -x .venv/bin/selaras ] && .venv/bin/python -c '' 2>/dev/null; then
    exit 0
fi

usable() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null
}

if [ "$(id -u)" = 0 ]; then sudo=
elif [ -t 0 ]; then sudo=sudo
else sudo='sudo -n' # nobody is there to be asked for a password
fi

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        usable "$PYTHON" || fail "PYTHON=$PYTHON is not a Python 3.11, 3.12 or 3.13 that runs: name another, or none."
        echo "$PYTHON"
        return
    fi
    for python in python3 python3.13 python3.12 python3.11; do
        if usable "$python"; then
            echo "$python"
            return
        fi
    done
    fail "Selaras needs Python 3.11, 3.12 or 3.13 and finds none: sudo apt-get install python3.11-venv," \
        "or name one with PYTHON=/path/to/python."
}

install_venv_package() {
    package="python$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
    command -v apt-get >/dev/null || fail "$1 has no ensurepip: install your distribution's $package."
    say "Installing $package with apt-get, once …"
    apt="$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 --no-install-recommends"
    { $apt install "$package" || { $apt update && $apt install "$package"; }; } >/dev/null 2>&1 </dev/null 9<&- ||
        fail "$package is missing and could not be installed: sudo apt-get update && sudo apt-get install $package"
}

if [ "$(printf '%s\n' "$has" | sed -n 1p)" != "$locked" ] || [ "$(printf '%s\n' "$has" | sed -n 3p)" != "$chosen" ] || ! runs; then
    python=$(find_python)
    "$python" -c 'import ensurepip, venv' 2>/dev/null || install_venv_package "$python"
    say "Making .venv from requirements.lock with $("$python" --version) (about a minute, once) …"
    rm -rf .venv
    "$python" -m venv .venv >&2 9<&- || fail ".venv could not be made: $python -m venv .venv says why, above."
    .venv/bin/python -m pip --disable-pip-version-check install -qq --require-hashes -r requirements.lock >&2 9<&- ||
        fail "The packages of requirements.lock could not be installed, for the reason above: mend it and type make again."
fi
rm -f .venv/.ready
.venv/bin/python -m pip --disable-pip-version-check install -qq --no-deps --no-build-isolation -e . >&2 9<&- ||
    fail "Selaras itself could not be installed into .venv, for the reason above: mend it and type make again."
printf '%s\n' "$wanted" >.venv/.ready
