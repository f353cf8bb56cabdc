#!/usr/bin/env bash
# The whole suite, most of it on real processes and hosts. On a busy machine one of five thousand such tests may meet a
# moment that nobody thought of, and that says little about the code; a defect that shows now and then says much. So a
# test that failed in company must pass three times by itself, and it is named whatever comes of it.
# A worker that has run out of tests takes half of what the fullest has left: one test takes a thousand times as long as
# another, and what is dealt out in turns may leave the slow ones of the end to one worker.
# Usage: test.sh PYTHON [ARGUMENT of pytest…]
set -uo pipefail
cd "$(dirname "$0")/.."
python=$1 most=5 cache=.pytest_cache/v/cache/lastfailed failed=.pytest_cache/failed-in-company
shift

rm -f "$cache" "$failed"
"$python" -m pytest -n 4 --dist worksteal "$@" && exit 0
code=$?
[ "$code" = 1 ] || exit "$code" # not failed tests: pytest itself, an interrupt, a file that cannot be collected
"$python" -c 'import json, sys; print("\n".join(json.load(open(sys.argv[1]))))' "$cache" >"$failed" || exit 1
count=$(wc -l <"$failed")
[ "$count" -le "$most" ] || { echo "$count tests failed; more than $most are never chance"; exit 1; }

while read -r test; do # each in a process of its own: files of two folders named together see one folder's conftest
  for round in 1 2 3; do
    "$python" -m pytest -p no:cacheprovider "$test" </dev/null ||
      { echo "$test failed again by itself, in round $round"; exit 1; }
  done
done <"$failed"
echo "FAILED IN COMPANY, and passed three times alone; find out why:"
cat "$failed"
