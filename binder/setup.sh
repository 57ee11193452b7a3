#!/bin/sh
# Builds .venv from the locks: `binder/setup.sh` for the course, `binder/setup.sh tests` for its tests;
# `binder/setup.sh fits` builds nothing and says "fits" if .venv can be used as it is.
# It is called by make; each failure says what to do.
set -u
cd "$(dirname "$0")/.." || exit 1
what=${1:-course}

stop() {
    { echo; printf '%s\n' "$@"; } >&2
    exit 1
}

usable() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

# The Python may have been removed, or the folder moved: the scripts in .venv name where it was made.
fits() {
    usable .venv/bin/python || return 1
    case "$(cat .venv/pyvenv.cfg .venv/bin/activate 2>/dev/null)" in *"$(pwd -P)/.venv"*) ;; *) return 1 ;; esac
}

if [ "$what" = fits ]; then
    fits && echo fits
    exit
fi

[ -w . ] || stop "This folder is read-only: $(pwd)" \
    "Copy or clone the course to a place you may write to, for example your home folder."

# Two set-ups at once would write into the same .venv: the second one waits for the first.
lock=.venv.lock
waited=no
until mkdir "$lock" 2>/dev/null; do
    owner=$(cat "$lock/pid" 2>/dev/null || echo 0)
    [ "$owner" = 0 ] && sleep 1 && owner=$(cat "$lock/pid" 2>/dev/null || echo 0)
    if ! kill -0 "$owner" 2>/dev/null; then rm -rf "$lock"; continue; fi
    [ $waited = no ] && echo "Another set-up is at work here (process $owner); waiting for it ..."
    waited=yes
    sleep 1
done
echo $$ >"$lock/pid"
trap 'rm -rf "$lock"' EXIT
trap 'exit 130' INT TERM

if ! fits; then
    [ -z "${PYTHON:-}" ] || usable "$PYTHON" ||
        echo "PYTHON=$PYTHON is no Python 3.11 or later that runs; looking for another one ..." >&2
    found=
    for candidate in "${PYTHON:-python3}" python3 python3.14 python3.13 python3.12 python3.11; do
        if usable "$candidate"; then found=$candidate; break; fi
    done
    [ -n "$found" ] || stop "The course needs Python 3.11 or later; found: $(python3 --version 2>/dev/null || echo none)." \
        "Debian, Ubuntu: sudo apt install python3 python3-venv    macOS: brew install python" \
        "If it is installed under another name: make lab PYTHON=/path/to/python3"
    "$found" -c 'import ensurepip, venv' 2>/dev/null || stop "$found cannot make virtual environments." \
        "Debian, Ubuntu: sudo apt install python3-venv"
    echo "Making .venv with $("$found" --version) ..."
    "$found" -m venv --clear .venv || stop "Could not make .venv; the lines above say why."
fi

offline="The packages could not be fetched; the lines above say why.
Without a network the set-up cannot finish. Connect and run the same command again:
it goes on where it stopped. Behind a proxy, set HTTPS_PROXY first."

install() {
    if [ -x .venv/bin/uv ] && .venv/bin/uv pip install --quiet --python .venv/bin/python "$@"; then return; fi
    echo "Trying once more with pip ..."
    .venv/bin/python -m pip install --quiet --retries 1 --disable-pip-version-check "$@"
}

.venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip >/dev/null || stop "$offline"
[ -x .venv/bin/uv ] || .venv/bin/python -m pip install --quiet --retries 1 --disable-pip-version-check uv || stop "$offline"

if [ "$what" = tests ]; then
    echo "Installing what the tests need ..."
    install -r binder/requirements.txt -r tests/requirements.txt || stop "$offline"
    # The tests start hundreds of processes: none shall compile what it imports.
    .venv/bin/python -m compileall -q -j 0 .venv/lib course_lib >/dev/null 2>&1
    touch .venv/.tests-ready
else
    echo "Installing the course (about 150 packages; a minute or two on a slow line) ..."
    install -r binder/requirements.txt || stop "$offline"
    install --no-deps -e . || stop "$offline"
    touch .venv/.course-ready
    echo 'Ready: `make lab` opens the course.'
fi
