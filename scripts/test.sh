#!/usr/bin/env bash
# Every test, from a fresh clone. Tests start their own redis-server and PostgreSQL on free ports.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/test-build.sh

command -v redis-server >/dev/null 2>&1 || {
    echo "test: redis-server is missing; run scripts/bootstrap.sh as root" >&2
    exit 69
}
swift build "${test_build[@]}"
# The bundle itself: `swift test` reads the whole package again before each call.
tests() { .build/test/release/LinesmanPackageTests.xctest --testing-library swift-testing "$@"; }
if (($# > 0)); then
    tests "$@"
    exit
fi

# Modules whose tests wait for sockets, servers or whole suites of processes run one after the other, so that nobody
# takes the machine from under them; everything else runs first and at once. A thousand seeds keep every core for minutes.
modules=(Simulation Alerting Linesman Runtime Servers Redis RedisConformance Bus Postgres Venues VenueSimulator Hosting
    OrderPath Orchestrator System)
others=()
for module in "${modules[@]}"; do others+=(--skip "^${module}Tests\\."); done

failed=()
output=$(mktemp -d)
trap 'rm -rf "$output"' EXIT
run() {
    echo "test: $1, after $SECONDS s"
    tests "${@:2}" 2>&1 | tee "$output/$1" || failed+=("$1")
}
run "pure modules" "${others[@]}"
# What kills and restarts processes by the dozen takes the machine from everything else, so each runs by itself.
rehearsals=(OrderFaultTests PlanFaultTests KillSwitchTests ChaosCommandTests ChaosInterruptionTests)
alone=$(IFS='|' && echo "^SystemTests\\.(${rehearsals[*]})")
for module in "${modules[@]}"; do run "$module" --filter "^${module}Tests\\." --skip "$alone"; done
for rehearsal in "${rehearsals[@]}"; do run "$rehearsal" --filter "^SystemTests\\.$rehearsal"; done

if ((${#failed[@]} > 0)); then
    echo "test: what failed, once more:"
    for name in "${failed[@]}"; do grep -ahE ' recorded an issue|^✘ Test .* failed|error: ' "$output/$name" || true; done
    echo "test: failed: ${failed[*]}" >&2
    exit 1
fi
