#!/usr/bin/env bash
# Builds the measurements in release and runs them: `scripts/bench.sh [engine | bus | all]`. Results: Benchmarks/results.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The C peers, and redis-py in an environment of its own. Without redis-py its figures are skipped.
prepare_peers() {
    local peer
    mkdir -p Benchmarks/.build/peers
    for peer in firehose subscribe publish paced; do
        cc -std=gnu11 -O2 -Wall -Wextra "Benchmarks/Peers/$peer.c" -o "Benchmarks/.build/peers/$peer" -lhiredis
    done
    local venv=Benchmarks/.venv wanted=Benchmarks/Peers/requirements.txt
    cmp -s "$wanted" "$venv/installed.txt" && return
    rm -rf "$venv"
    if python3 -m venv "$venv" && "$venv/bin/pip" install -q -r "$wanted"; then
        cp "$wanted" "$venv/installed.txt"
    else
        rm -rf "$venv"
        echo "bench: redis-py cannot be installed; its figures are skipped" >&2
    fi
}

swift build -c release --package-path Benchmarks
[[ "${1:-all}" == engine ]] || prepare_peers
exec "$(swift build -c release --package-path Benchmarks --show-bin-path)/linesman-bench" "$@"
