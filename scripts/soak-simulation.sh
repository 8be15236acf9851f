#!/usr/bin/env bash
# Whole-suite runs in release, and the simulated stores beside a real PostgreSQL:
# `scripts/soak-simulation.sh [SEEDS] [FIRST SEED]`. A seed that fails is explained by `linesman simulate --seed SEED`.
# At last how fast it is: an hour of one core must be worth 1,000 simulated ones.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export LINESMAN_SIMULATION_SUITE_SEEDS=${1:-10000} LINESMAN_SIMULATION_FIRST=${2:-1}
export LINESMAN_STORE_HISTORIES=${1:-10000} LINESMAN_STORE_FIRST=${2:-1}
swift test -c release -Xswiftc -enable-testing -Xswiftc -O --scratch-path .build/soak \
    --filter '^(SimulationTests|OrderPathTests)\.(SuiteSimulationTests|StoreAgreementTests|FleetAgreementTests)'

pace=$(.build/soak/release/linesman simulate --seed "$LINESMAN_SIMULATION_FIRST" --steps 4000000 2>&1 >/dev/null)
echo "soak-simulation: $pace"
if ((${pace%% *} < 1000)); then
    echo "soak-simulation: too slow, at least 1000 were asked for" >&2
    exit 1
fi
