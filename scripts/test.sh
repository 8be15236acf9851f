#!/usr/bin/env bash
# Every test, from a fresh clone. Tests start their own redis-server and PostgreSQL on free ports.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command -v redis-server >/dev/null 2>&1 || {
    echo "test: redis-server is missing; run scripts/bootstrap.sh as root" >&2
    exit 69
}
swift build --build-tests
if (($# > 0)); then exec swift test --skip-build "$@"; fi
# The system tests run whole suites of processes; the others, all at once, would take the machine from under them.
swift test --skip-build --skip SystemTests
exec swift test --skip-build --filter SystemTests
