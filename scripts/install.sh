#!/bin/sh
# install.sh PYTHON VENV LOCK...: make a virtual environment with what the locks say and this project in it.
set -eu
python=$1 venv=$2
shift 2

fail() {
    echo "bestiary: $1" >&2
    exit 2
}

[ -n "$python" ] || fail "no Python 3.11 or 3.12 was found: install one (Debian: apt-get install python3 python3-venv; any Linux: uv python install 3.12) and run make again, or name it with PYTHON=/path/to/python3."
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null ||
    fail "$python is not Python 3.11 or 3.12: name another one with PYTHON=/path/to/python3."
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$python cannot make virtual environments: install its venv package (Debian: apt-get install python3-venv)."

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
for lock in "$@"; do
    echo "Installing $lock into $venv ..." >&2
    if grep -q -e '--hash' "$lock"; then
        # Hashes are checked, and nothing beyond the lock is installed.
        "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$lock"
    else
        "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$lock"
    fi
done
"$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
