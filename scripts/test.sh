#!/usr/bin/env bash
# Every test, from a fresh clone. Tests start their own redis-server and PostgreSQL on free ports.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

for tool in redis-server git; do
    command -v "$tool" >/dev/null 2>&1 || {
        echo "test: '$tool' is missing; run scripts/bootstrap.sh as root" >&2
        exit 69
    }
done
swift build --build-tests
exec swift test --skip-build "$@"
