#!/usr/bin/env bash
# Plays a whole game through each of the demo's faults, then holds every scenario of CHAOS_TESTING.md, each with a
# control, and says what each did.
#
#   scripts/chaos.sh ROUNDS REPORT [RUNBOOK]
#
# REPORT is a JSON file; the rounds in it are not held again. RUNBOOK gets its table. The games that held stand beside
# it in a file for each build, and are not played again either; those of a build with changes of its own are.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
rounds=${1:-3}
report=${2:-chaos-report.json}
runbook=${3:-}

build=$(git describe --always --dirty 2>/dev/null || echo dev)
played=${report%.json}-$build.games
[[ $build != *-dirty && $build != dev ]] || played=/dev/null

swift build -c release
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
failed=0
for fault in shard-kill lost-acks bad-frames venue-resets; do
    if grep -qsxF "$fault" "$played"; then
        echo "chaos: $fault held before"
        continue
    fi
    echo "chaos: $fault"
    if ./.build/release/linesman demo --plain --speed 240 --faults "$fault" --report "$logs/$fault.json" \
        >"$logs/$fault.log" 2>&1; then
        sed -n '/recording/,$p' "$logs/$fault.log"
        echo "chaos: $fault held"
        echo "$fault" >>"$played"
    else
        cat "$logs/$fault.log"
        echo "chaos: $fault FAILED"
        failed=$((failed + 1))
    fi
done
echo "chaos: $((4 - failed)) of 4 games held"
# Two suites side by side mostly wait, each for its own; the bounds hold all the same.
./.build/release/linesman chaos --rounds "$rounds" --suites 2 --control --report "$report" \
    --build "$build" --logs "${report%.json}-failed" || failed=$((failed + 1))
[[ -z $runbook ]] || ./.build/release/linesman chaos --report "$report" --publish "$runbook"
exit "$((failed > 0))"
