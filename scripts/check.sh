#!/usr/bin/env bash
# Style and structure, cheapest first: format, imports, build. The tidy tests follow in `make test`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/test-build.sh

echo "check: format"
swift format lint --strict --parallel --recursive Package.swift Services Shared Tests Benchmarks

# The import check prints "Build complete!" even when it refuses, so its exit status is what counts.
echo "check: imports and build"
swift build "${test_build[@]}"

echo "check: deployment"
scripts/check-deploy.sh
