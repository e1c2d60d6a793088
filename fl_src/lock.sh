#!/bin/sh
# Locks the images' packages again after a change of a .in file: versions and hashes, for x86_64 and aarch64. Needs uv.
set -eu
cd "$(dirname "$0")"
for part in aggregator client; do
  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
    --output-file "requirements-$part.txt" "requirements-$part.in"
done
