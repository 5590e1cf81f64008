#!/bin/sh
# Run the tests: `run_tests.sh all|unit|system [pytest arguments]`.
#
# Unit tests use both cores. Systems (real processes with deadlines) run alone and one by one: two at a time would measure
# each other's load. Both parts run even if the first one fails, so that one run shows every failure.
set -u
cd "$(dirname "$0")/.." || exit 1
part=$1
shift
env=.venv/bin/openbms-env
status=0

run() {
    "$env" python -m pytest "$@"
    code=$?
    # 5: nothing collected, for example because -k selects tests of the other part only.
    [ "$code" -eq 0 ] || [ "$code" -eq 5 ] || status=$code
}

if [ "$part" != system ]; then
    echo "== Unit tests of the packages (src/*/test)"
    run -n "${TEST_WORKERS:-2}" src/*/test "$@"
fi
if [ "$part" != unit ] && [ -n "$(find tests -name 'test_*.py' 2>/dev/null | head -n 1)" ]; then
    echo "== Whole systems (tests/)"
    run tests "$@"
fi
exit "$status"
