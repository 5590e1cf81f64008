#!/bin/sh
# Run every check, also after one has failed, and end with the names of those that did.
set -u
cd "$(dirname "$0")/.." || exit 1

PATH="$PWD/.venv/bin:$PATH"
# Keeps Python from starting itself a second time to find ROS libraries that no check needs.
_ROS_WHEELS_BOOTSTRAP_COMPLETE=1
# The sources themselves: checks need no build.
PYTHONPATH=$(printf '%s:' "$PWD"/src/*/)$PWD
export PATH PYTHONPATH _ROS_WHEELS_BOOTSTRAP_COMPLETE

failed=""
check() {
    name=$1
    shift
    echo "== $name: $*"
    "$@" || failed="$failed $name"
}

check style ruff check .
check format ruff format --check .
check types mypy
check imports lint-imports --no-logo
check spelling codespell
if [ -n "$failed" ]; then
    echo "lint: failed:$failed" >&2
    exit 1
fi
echo "lint: all checks passed"
