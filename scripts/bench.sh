#!/usr/bin/env bash
# Builds the measurements in release and runs them: `scripts/bench.sh [engine | all]`. Results: Benchmarks/results.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

swift build -c release --package-path Benchmarks
exec "$(swift build -c release --package-path Benchmarks --show-bin-path)/linesman-bench" "$@"
