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
    # What stands in .env on the other hosts; the environment wins over both files.
    other_hosts=(REDIS_URL=redis://:x@10.0.0.1:6379/0 PGHOST=10.0.0.1 POSTGRES_PASSWORD=x REDIS_PASSWORD=x
        PUBLISH_ADDRESS=10.0.0.1)
    for values in /dev/null .env.example; do
        env "${other_hosts[@]}" docker compose --env-file "$values" -f deploy/compose.shards.yml config --quiet
        env "${other_hosts[@]}" docker compose --env-file "$values" -f deploy/compose.replica.yml config --quiet
        env "${other_hosts[@]}" docker compose --env-file "$values" -f docker-compose.yml \
            -f deploy/compose.published.yml config --quiet
    done
    for file in shards published replica; do
        if env -u REDIS_URL -u PGHOST -u PUBLISH_ADDRESS docker compose --env-file /dev/null -f docker-compose.yml \
            -f "deploy/compose.$file.yml" config --quiet 2>/dev/null; then
            echo "check: deploy/compose.$file.yml does without the other host" >&2
            exit 1
        fi
    done
    if env -u POSTGRES_PASSWORD REDIS_PASSWORD=x PUBLISH_ADDRESS=10.0.0.1 docker compose --env-file /dev/null \
        -f docker-compose.yml -f deploy/compose.published.yml config --quiet 2>/dev/null; then
        echo "check: deploy/compose.published.yml publishes PostgreSQL under the password that everybody knows" >&2
        exit 1
    fi
    echo "check: the compose files of other hosts"
else
    echo "check: docker-compose.yml left out: no docker compose"
fi
if command -v promtool >/dev/null 2>&1; then
    promtool check config deploy/prometheus/prometheus.yml
    promtool test rules deploy/prometheus/rules_test.yml
else
    echo "check: Prometheus' rules left out: no promtool"
fi
