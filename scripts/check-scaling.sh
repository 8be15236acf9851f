#!/usr/bin/env bash
# Does what docs/OPERATIONS.md tells under "Scaling out" on this host alone: shards on a second host, a replica of
# PostgreSQL, and the replica promoted when the primary is lost. Fails where the suite is not well afterwards.
#
#   scripts/check-scaling.sh
#
# Two addresses of the loopback device stand for two hosts, so it wants root. Projects and volumes are its own and are
# taken down again. Linesman's image must be there (docker compose build, or scripts/image.sh).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
first=10.77.0.1
second=10.77.0.2

if ! docker version >/dev/null 2>&1 || ! docker compose version >/dev/null 2>&1; then
    echo "check-scaling: left out: no Docker engine with Compose answers"
    exit 0
fi
if [[ $(id -u) != 0 ]]; then
    echo "check-scaling: left out: not root, and addresses are to be added to the loopback device"
    exit 0
fi

files=$(mktemp -d)
mkdir "$files/first" "$files/second"
cp docker-compose.yml "$files/first/"
cp -R deploy "$files/first/"
cp deploy/compose.shards.yml deploy/compose.replica.yml "$files/second/"
own=("PATH=$PATH" "HOME=${HOME:-/}")
for name in $(compgen -e); do
    case $name in DOCKER_* | XDG_RUNTIME_DIR | LINESMAN_VERSION) own+=("$name=${!name}") ;; esac
done
compose() { (cd "$1" && env -i "${own[@]}" docker compose "${@:2}"); }
on_first() {
    compose "$files/first" -p linesman-scaling -f docker-compose.yml -f deploy/compose.published.yml "$@"
}
shards() { compose "$files/second" -p linesman-scaling-shards -f compose.shards.yml "$@"; }
replica() { compose "$files/second" -p linesman-scaling-replica -f compose.replica.yml "$@"; }
linesman() { on_first exec -T orchestrator linesman "$@"; }

finish() {
    shards down --volumes --timeout 10 >"$files/down.log" 2>&1 || true
    replica down --volumes --timeout 10 >>"$files/down.log" 2>&1 || true
    on_first down --volumes --timeout 10 >>"$files/down.log" 2>&1 || cat "$files/down.log" >&2
    ip address delete "$first/32" dev lo 2>/dev/null || true
    ip address delete "$second/32" dev lo 2>/dev/null || true
    rm -rf "$files"
}
trap finish EXIT
fail() { echo "check-scaling: $*" >&2; exit 1; }

# Until the orchestrator says so of all that are named.
until_well() {
    local status=""
    for _ in $(seq 60); do
        status=$(linesman status 2>&1) || true
        local missing=0
        for name in "$@"; do grep -Eq "^ +$name +healthy" <<<"$status" || missing=1; done
        ((missing == 1)) || return 0
        sleep 0.5
    done
    fail "not all of $* are healthy: $status"
}

ip address add "$first/32" dev lo
ip address add "$second/32" dev lo
redis=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')
cat >"$files/first/.env" <<END
POSTGRES_PASSWORD=a-password-for-a-check
PUBLISH_ADDRESS=$first
REDIS_PASSWORD=$redis
REDIS_URL=redis://:$redis@redis:6379/0
STATUS_PORT=18080
END
on_first up -d --wait >"$files/up.log" 2>&1 || { cat "$files/up.log" >&2; fail "the first host did not come up"; }
until_well shard-01 shard-02
echo "check-scaling: the first host is well"

sed -e "s|^REDIS_URL=.*|REDIS_URL=redis://:$redis@$first:6379/0|" -e "s|^PUBLISH_ADDRESS=.*|PUBLISH_ADDRESS=$second|" \
    "$files/first/.env" >"$files/second/.env"
printf 'PGHOST=%s\nSHARDS_HOST=host2\nSHARDS_ADDRESS=%s\n' "$first" "$second" >>"$files/second/.env"
shards up -d --wait >"$files/up.log" 2>&1 || { cat "$files/up.log" >&2; fail "the second host's shards did not come up"; }
until_well shard-01 shard-02 host2-01 host2-02
echo "check-scaling: the second host's shards take part"

# As told, but that the address of a container of this host is its bridge's.
asks_first='PGPASSWORD=$POSTGRES_PASSWORD psql -v ON_ERROR_STOP=1 -h 127.0.0.1 -U $POSTGRES_USER -d $POSTGRES_DB'
on_first exec -T postgres sh -c "$asks_first -q" <<'SQL'
CREATE ROLE replicator REPLICATION LOGIN PASSWORD 'copies';
ALTER SYSTEM SET max_slot_wal_keep_size = '20GB';
SQL
on_first exec -T -u postgres postgres sh -c \
    'echo "host replication replicator all scram-sha-256" >> "$PGDATA/pg_hba.conf"'
on_first exec -T postgres sh -c "$asks_first -qc 'SELECT pg_reload_conf()'" >/dev/null
replica run --rm -T -e PGPASSWORD=copies postgres sh -c \
    "pg_basebackup -h $first -U replicator -D \"\$PGDATA\" -X stream -C -S host2 -R &&
     chown -R postgres:postgres \"\$PGDATA\" && chmod 700 \"\$PGDATA\"" >"$files/up.log" 2>&1 \
    || { cat "$files/up.log" >&2; fail "no base backup"; }
replica up -d --wait >"$files/up.log" 2>&1 || { cat "$files/up.log" >&2; fail "the replica did not come up"; }
asks_second='PGPASSWORD=$POSTGRES_PASSWORD psql -h 127.0.0.1 -U $POSTGRES_USER -d $POSTGRES_DB'
receiver=$(replica exec -T postgres sh -c "$asks_second -Atc 'SELECT status FROM pg_stat_wal_receiver'")
[[ $receiver == streaming ]] || fail "the replica is not streaming: $receiver"
# What the replica must know later.
linesman kill-switch engage --reason "the primary is going to be lost" >/dev/null
echo "check-scaling: the replica follows"

on_first exec -T execution-service touch /run/linesman/kill-switch
on_first stop postgres >"$files/up.log" 2>&1
replica exec -T postgres sh -c "$asks_second -Atc 'SELECT pg_promote()' -c 'SELECT pg_is_in_recovery()'" | tail -1 \
    | grep -qx f || fail "the replica is not promoted"
echo "PGHOST=$second" >>"$files/first/.env"
on_first up --no-deps --force-recreate settings >"$files/up.log" 2>&1 || { cat "$files/up.log" >&2; fail "no settings"; }
on_first up -d --no-deps --force-recreate --wait \
    orchestrator market-discovery signal-processor execution-service shard-01 shard-02 >"$files/up.log" 2>&1 \
    || { cat "$files/up.log" >&2; fail "the suite did not come back"; }
sed -i "s|^PGHOST=.*|PGHOST=$second|" "$files/second/.env"
shards up -d --wait >"$files/up.log" 2>&1 || { cat "$files/up.log" >&2; fail "the second host's shards did not come back"; }
until_well shard-01 shard-02 host2-01 host2-02
# Its exit code says that it is engaged.
switch=$(linesman kill-switch status) || true
grep -q "the primary is going to be lost" <<<"$switch" || fail "the promoted replica knows nothing: $switch"
linesman audit verify
linesman reconcile --now
linesman kill-switch release --reason "promoted the replica"
echo "check-scaling: the suite goes on with the promoted replica"
