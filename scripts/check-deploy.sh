#!/usr/bin/env bash
# The files of the deployment, by the programs that read them; what is not installed is left out, and said.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if docker compose version >/dev/null 2>&1; then
    for profile in "" demo ha observability demo,ha,observability; do
        COMPOSE_PROFILES=$profile docker compose --env-file /dev/null config --quiet
        COMPOSE_PROFILES=$profile docker compose --env-file .env.example config --quiet
    done
    echo "check: docker-compose.yml with each profile"
else
    echo "check: docker-compose.yml left out: no docker compose"
fi
if command -v promtool >/dev/null 2>&1; then
    promtool check config deploy/prometheus/prometheus.yml
    promtool test rules deploy/prometheus/rules_test.yml
else
    echo "check: Prometheus' rules left out: no promtool"
fi
