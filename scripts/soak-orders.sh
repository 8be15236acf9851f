#!/usr/bin/env bash
# The order path's engines under random trouble, in release: `scripts/soak-orders.sh [STEPS] [PLANS]`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export LINESMAN_RESERVATION_STEPS=${1:-1000000} LINESMAN_PLAN_RUNS=${2:-50000}
exec swift test -c release -Xswiftc -enable-testing --scratch-path .build/soak \
    --filter '^(SignalProcessorEngine|ExecutionServiceEngine)Tests\.(ReservationProperty|LegPlanProperty)'
