#!/usr/bin/env bash
# Builds the measurements in release and runs them: `scripts/bench.sh [engine | bus | postgres | fleet | all]`, or with
# faults `bus-faults`, `postgres-faults`, `fleet-faults`, `order-faults` or `kill-switch`, or the way of an order,
# `path`, and how much of it the suite bears, `load`.
# Results: Benchmarks/results.
# Exit code 1 when a bar was missed, after all of it ran.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

build_c_peers() {
    local peer
    mkdir -p Benchmarks/.build/peers
    for peer in firehose subscribe publish paced; do
        cc -std=gnu11 -O2 -Wall -Wextra "Benchmarks/Peers/$peer.c" -o "Benchmarks/.build/peers/$peer" -lhiredis
    done
}

build_path_peer() {
    mkdir -p Benchmarks/.build/peers
    cc -std=gnu11 -O2 -Wall -Wextra "-I$(pg_config --includedir)" Benchmarks/Peers/path.c \
        -o Benchmarks/.build/peers/path -lhiredis -lpq
}

# `install_python_peers <requirements> <who>`: into an environment of their own. Without them their figures are skipped.
install_python_peers() {
    local venv=Benchmarks/.venv wanted=Benchmarks/Peers/$1
    cmp -s "$wanted" "$venv/$1.installed" && return
    if { [[ -x $venv/bin/pip ]] || python3 -m venv "$venv"; } && "$venv/bin/pip" install -q -r "$wanted"; then
        cp "$wanted" "$venv/$1.installed"
    else
        echo "bench: $2 cannot be installed; the figures are skipped" >&2
    fi
}

peers_of() {
    case $1 in
    engine | fleet* | load | order-faults | kill-switch) ;;
    path) build_path_peer ;;
    bus*)
        build_c_peers
        install_python_peers requirements-bus.txt redis-py
        ;;
    postgres) install_python_peers requirements-postgres.txt "asyncpg and psycopg" ;;
    *) peers_of bus && peers_of postgres ;;
    esac
}

# The suite itself, beside the measurements, for those that need it running.
build_suite() {
    local program programs="venue-simulator execution-service"
    case $1 in
    fleet-faults | path | load) programs+=" orchestrator market-discovery game-shard signal-processor" ;;
    order-faults) programs+=" signal-processor" ;;
    kill-switch) programs+=" orchestrator linesman" ;;
    *) return 0 ;;
    esac
    for program in $programs; do
        swift build -c release --package-path Benchmarks --product "$program"
    done
}

swift build -c release --package-path Benchmarks --product linesman-bench
build_suite "${1:-all}"
peers_of "${1:-all}"
exec "$(swift build -c release --package-path Benchmarks --show-bin-path)/linesman-bench" "$@"
