#!/bin/sh
# Run the tests: `run_tests.sh all|unit|system [pytest arguments]`.
#
# Unit tests use both cores, and so do those of tests/ that start no processes with deadlines. Systems run alone and
# one by one: two at a time would measure each other's load. All parts run even if one fails, so that one run shows
# every failure.
set -u
cd "$(dirname "$0")/.." || exit 1
part=$1
shift
env=.venv/bin/openbms-env
status=0

run() {
    "$env" python -m pytest --durations 10 --durations-min 5 "$@"
    code=$?
    # 5: nothing collected, for example because -k selects tests of the other part only.
    [ "$code" -eq 0 ] || [ "$code" -eq 5 ] || status=$code
}

if [ "$part" != system ]; then
    echo "== Unit tests of the packages (src/*/test)"
    run -n "${TEST_WORKERS:-2}" src/*/test "$@"
fi
if [ "$part" != unit ]; then
    echo "== Whole paths without deadlines (tests/*)"
    run -n "${TEST_WORKERS:-2}" --dist loadscope tests --ignore tests/launch --ignore tests/scenarios "$@"
    echo "== Whole systems (tests/launch, tests/scenarios)"
    run tests/launch tests/scenarios "$@"
fi
exit "$status"
