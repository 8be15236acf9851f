#!/usr/bin/env bash
# Builds the image linesman:latest from the release build of this machine, which must be Debian 12, in seconds;
# `docker compose build` builds everything in a container instead.
#
#   scripts/image.sh [PRODUCTS]         a folder of built products; .build/release when not given
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
products=${1:-.build/release}

if [[ $# == 0 ]]; then swift build -c release; fi
files=$(mktemp -d)
trap 'rm -rf "$files"' EXIT
scripts/image-files.sh "$products" "$files/image"
# Takes the place of the stage of that name.
docker build --build-context "build=$files" --tag "linesman:${LINESMAN_VERSION:-latest}" .
