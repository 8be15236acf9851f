#!/usr/bin/env bash
# Runs every scenario of CHAOS_TESTING.md once, and says what each did.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

swift build -c release
reports=$(mktemp -d)
trap 'rm -rf "$reports"' EXIT
failed=0
for scenario in shard-kill lost-acks bad-frames venue-resets; do
    echo "chaos: $scenario"
    if ./.build/release/linesman demo --plain --speed 240 --faults "$scenario" --report "$reports/$scenario.json" \
        >"$reports/$scenario.log" 2>&1; then
        sed -n '/recording/,$p' "$reports/$scenario.log"
        echo "chaos: $scenario held"
    else
        cat "$reports/$scenario.log"
        echo "chaos: $scenario FAILED"
        failed=$((failed + 1))
    fi
done
echo "chaos: $((4 - failed)) of 4 scenarios held"
exit "$((failed > 0))"
