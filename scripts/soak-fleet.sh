#!/usr/bin/env bash
# Seeded schedules of trouble on the fleet's engines, in release: `scripts/soak-fleet.sh [SCHEDULES] [FIRST SEED]`.
# A seed that fails is told in full by LINESMAN_SIMULATION_HISTORY=SEED, into simulation-SEED.log.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export LINESMAN_SIMULATION_SEEDS=${1:-10000} LINESMAN_SIMULATION_FIRST=${2:-1}
exec swift test -c release -Xswiftc -enable-testing -Xswiftc -O --scratch-path .build/soak --filter '^SimulationTests\.'
