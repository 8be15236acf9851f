#!/usr/bin/env bash
# Whole-suite runs in release, and the simulated stores beside a real PostgreSQL:
# `scripts/soak-simulation.sh [SEEDS] [FIRST SEED]`. A seed that fails is explained by `linesman simulate --seed SEED`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export LINESMAN_SIMULATION_SUITE_SEEDS=${1:-10000} LINESMAN_SIMULATION_FIRST=${2:-1}
export LINESMAN_STORE_HISTORIES=${1:-10000} LINESMAN_STORE_FIRST=${2:-1}
exec swift test -c release -Xswiftc -enable-testing -Xswiftc -O --scratch-path .build/soak \
    --filter '^(SimulationTests|OrderPathTests)\.(SuiteSimulationTests|StoreAgreementTests|FleetAgreementTests)'
