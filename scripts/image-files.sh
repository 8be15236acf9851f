#!/usr/bin/env bash
# What the image holds beside Debian's packages: the executables without symbols, the libraries of Swift
# that they need beside them, and the recordings.
#
#   scripts/image-files.sh FROM TO      FROM is a folder of built products, as .build/release
set -euo pipefail
from=${1:?"where the products are"}
to=${2:?"where the files go"}
cd "$(dirname "${BASH_SOURCE[0]}")/.."

products=(orchestrator game-shard market-discovery signal-processor execution-service venue-simulator linesman)
mkdir -p "$to/bin"
for product in "${products[@]}"; do
    strip -o "$to/bin/$product" "$from/$product"
    chmod 755 "$to/bin/$product"
    ldd "$from/$product" | awk '$2 == "=>" && $3 ~ /\/swift\/linux\// { print $3 }'
done | sort -u | while read -r library; do
    install -m 644 "$library" "$to/bin/"
done
mkdir -p "$to/Recordings"
cp Recordings/*.recording "$to/Recordings/"
