#!/usr/bin/env bash
# Times `docker compose up -d --wait` from nothing to health, for each profile; fails where one takes 30 s or longer.
#
#   scripts/check-compose.sh [PROFILE…]     none, demo, ha, observability; all of them when none is given
#
# In a project of its own (linesman-check) with volumes and ports of its own, which is taken down again: no deployment
# on this host is touched, and nothing of .env or of the shell gets into it but Docker's own settings and
# LINESMAN_VERSION. Linesman's image must be there (docker compose build, or scripts/image.sh); others are pulled.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bound=30000
profiles=("$@")
if [[ $# == 0 ]]; then profiles=(none demo ha observability); fi
for profile in "${profiles[@]}"; do
    case $profile in none | demo | ha | observability) ;; *) echo "no profile: $profile" >&2; exit 64 ;; esac
done

if ! docker version >/dev/null 2>&1 || ! docker compose version >/dev/null 2>&1; then
    echo "check-compose: left out: no Docker engine with Compose answers"
    exit 0
fi

# A folder without .env; the files that containers mount are beside docker-compose.yml.
files=$(mktemp -d)
cp docker-compose.yml "$files/"
cp -R deploy "$files/"

own=("PATH=$PATH" "HOME=${HOME:-/}")
for name in $(compgen -e); do
    case $name in DOCKER_* | XDG_RUNTIME_DIR | LINESMAN_VERSION) own+=("$name=${!name}") ;; esac
done
taken=()
# Below those that the kernel gives out by itself.
free_port() {
    local port
    while true; do
        port=$((12000 + RANDOM % 20000))
        if [[ " ${taken[*]-} " == *" $port "* ]]; then continue; fi
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then break; fi
    done
    taken+=("$port")
    own+=("$1=$port")
}
for name in STATUS_PORT PROMETHEUS_PORT GRAFANA_PORT; do free_port "$name"; done

compose() {
    env -i "${own[@]}" docker compose --project-name linesman-check --project-directory "$files" \
        --file "$files/docker-compose.yml" "$@"
}

take_down() {
    compose --profile demo --profile ha --profile observability down --volumes --remove-orphans --timeout 10 \
        >"$files/down.log" 2>&1 || { cat "$files/down.log" >&2; return 1; }
}

finish() {
    take_down || echo "check-compose: left behind: docker compose -p linesman-check down --volumes" >&2
    rm -rf "$files"
}
trap finish EXIT
trap 'exit 130' INT TERM

milliseconds() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }

failed=0
for profile in "${profiles[@]}"; do
    options=()
    if [[ $profile != none ]]; then options=(--profile "$profile"); fi
    if ! images=$(compose "${options[@]}" config --images | sort -u); then exit 1; fi
    missing=""
    for image in $images; do
        if docker image inspect "$image" >/dev/null 2>&1; then continue; fi
        if [[ $image != linesman:* ]] && docker pull --quiet "$image" >/dev/null 2>&1; then continue; fi
        missing+=" $image"
    done
    if [[ -n $missing ]]; then
        echo "check-compose: $profile: FAILED, no image:$missing"
        failed=$((failed + 1))
        continue
    fi
    take_down
    begin=$(milliseconds)
    word=healthy
    compose "${options[@]}" up --detach --wait --wait-timeout 120 --no-build --pull never \
        >"$files/up.log" 2>&1 || word=FAILED
    took=$(($(milliseconds) - begin))
    if [[ $word == healthy && $took -ge $bound ]]; then word="FAILED, healthy too late"; fi
    printf 'check-compose: %s: %s after %d.%d s\n' "$profile" "$word" $((took / 1000)) $((took % 1000 / 100))
    if [[ $word != healthy ]]; then
        failed=$((failed + 1))
        tail -n 20 "$files/up.log" >&2
        docker ps --all --filter label=com.docker.compose.project=linesman-check >&2 || true
    fi
    take_down
done
exit "$((failed > 0))"
