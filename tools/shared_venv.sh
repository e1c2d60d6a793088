#!/usr/bin/env bash
# Leads a link to an environment with packages that are locked. All checkouts share it, as it is named by its Python and its lock: made once, with pip.
# usage: shared_venv.sh LINK WHAT PYTHON LOCK
set -euo pipefail

link=$1 what=$2 python=$3 lock=$4
shared=${EDGEFL_CACHE:-$HOME/.cache/edgefl}/environments
hash=$({ "$python" -c 'import sys; print(sys.base_prefix, sys.version)' && cat "$lock"; } | sha256sum | cut -c -12)
place=$shared/${link#.}-$hash
mkdir -p "$shared"
exec 9>"$place.lock"
flock 9
if [ ! -e "$place/.ready" ]; then
  "$python" -m venv --clear "$place"
  "$(dirname "$0")/say.sh" "Installing $what into $link" \
    "$place/bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement "$lock"
  touch "$place/.ready"
fi
# Those that nobody asked for within a month go
touch "$place" "$place.lock"
find "$shared" -mindepth 1 -maxdepth 1 -mtime +30 -exec rm -rf {} +
# It was a folder of the checkout before
[ -L "$link" ] || rm -rf "$link"
ln -sfn "$place" "$link"
