#!/usr/bin/env bash
# The order path under everything that goes wrong: `scripts/soak-orders.sh [STEPS] [PLANS] [SUBMITS]`. First its engines
# under random trouble, in release; then the execution-service as a process that is killed at every point of an order's
# life. 0 leaves a part out. Exit code 1 when a promise is broken.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export LINESMAN_RESERVATION_STEPS=${1:-1000000} LINESMAN_PLAN_RUNS=${2:-50000}
submits=${3:-100000}
if ((LINESMAN_RESERVATION_STEPS > 0)); then
    swift test -c release -Xswiftc -enable-testing -Xswiftc -O --scratch-path .build/soak \
        --filter '^(SignalProcessorEngine|ExecutionServiceEngine)Tests\.(ReservationProperty|LegPlanProperty)'
fi
if ((submits > 0)); then scripts/bench.sh order-faults --submits "$submits"; fi
