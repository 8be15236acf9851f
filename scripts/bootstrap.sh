#!/usr/bin/env bash
# Installs what Linesman needs beside Swift: Debian packages, and only those that are missing.
set -euo pipefail

packages=(redis-server postgresql libhiredis-dev libpq-dev zlib1g-dev ca-certificates python3)
# What goes on without: `linesman chaos` leaves the scenario clock-step out, `make check` the rules of Prometheus, and
# the tests what asks one.
optional=(faketime prometheus)
if [[ "${1:-}" == "--build-only" ]]; then
    packages=(libhiredis-dev libpq-dev zlib1g-dev)
    optional=()
fi

if ! command -v swift >/dev/null 2>&1; then
    echo "bootstrap: Swift 6.3 or newer is needed and 'swift' is not on the PATH; see https://swift.org/install" >&2
    exit 69
fi
if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "bootstrap: not a Debian system; install the equivalents of: ${packages[*]}" >&2
    exit 0
fi

is_missing() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null || true) != installed ]]; }
missing=()
for package in "${packages[@]}"; do
    if is_missing "$package"; then missing+=("$package"); fi
done
wanted=()
for package in "${optional[@]}"; do
    if is_missing "$package"; then wanted+=("$package"); fi
done
((${#missing[@]} + ${#wanted[@]} == 0)) && exit 0

echo "bootstrap: missing Debian packages: ${missing[*]} ${wanted[*]}"
if [[ $(id -u) == 0 ]]; then
    as_root=()
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root=(sudo)
else
    echo "bootstrap: not root and no password-less sudo; run as root: apt-get install -y ${missing[*]} ${wanted[*]}" >&2
    exit $((${#missing[@]} > 0 ? 69 : 0))
fi

# A package's own service must not start: Linesman starts private servers on free ports.
policy=/usr/sbin/policy-rc.d
made_policy=
if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
    made_policy=yes
fi
trap '[[ -z $made_policy ]] || "${as_root[@]}" rm -f "$policy"' EXIT

export DEBIAN_FRONTEND=noninteractive
install() { "${as_root[@]}" apt-get install -y -q --no-install-recommends "$@"; }
if ((${#missing[@]} > 0)); then
    "${as_root[@]}" apt-get update -q
    install "${missing[@]}"
else
    "${as_root[@]}" apt-get update -q || true
fi
for package in "${wanted[@]}"; do
    install "$package" || echo "bootstrap: goes on without $package" >&2
done
