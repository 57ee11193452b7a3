#!/bin/sh
# Resolves pyproject.toml into binder/requirements.txt (the course) and tests/requirements.txt
# (what its tests add): names and versions only, for every platform and Python from 3.11 on.
set -eu
cd "$(dirname "$0")/.."
resolve() {
    .venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
        --no-annotate --no-header --no-emit-index-url "$@" pyproject.toml
}
mkdir -p build
resolve >build/course.txt
resolve --extra tests --constraint build/course.txt >build/both.txt
LC_ALL=C sort build/course.txt >build/course.sorted
LC_ALL=C sort build/both.txt | LC_ALL=C comm -13 build/course.sorted - >build/tests.txt
mv build/course.txt binder/requirements.txt
mv build/tests.txt tests/requirements.txt
echo "binder/requirements.txt: $(wc -l <binder/requirements.txt) packages, tests/requirements.txt: $(wc -l <tests/requirements.txt) more"
