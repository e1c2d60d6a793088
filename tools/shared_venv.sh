#!/usr/bin/env bash
# Leads a link to an environment with packages that are locked. All checkouts share it, as it is named by its Python and its lock: made once, with pip.
# usage: shared_venv.sh LINK WHAT PYTHON LOCK [PART]
#   PART  a lock of some of the same packages, for who needs no more; the others come into the same environment when they are asked for
set -euo pipefail

link=$1 what=$2 python=$3 lock=$4 part=${5:-}
shared=${EDGEFL_CACHE:-$HOME/.cache/edgefl}/environments
hash=$({ "$python" -c 'import sys; print(sys.base_prefix, sys.version)' && cat "$lock"; } | sha256sum | cut -c -12)
place=$shared/${link#.}-$hash
mkdir -p "$shared"
exec 9>"$place.lock"
flock 9
if [ ! -e "$place/.ready" ] && [ ! -e "$place/.ready${part:+-$part}" ]; then
  compgen -G "$place/.ready*" >/dev/null || "$python" -m venv --clear "$place"
  "$(dirname "$0")/say.sh" "Installing $what into $link" \
    "$place/bin/pip" install --quiet --no-compile --disable-pip-version-check --require-hashes --requirement "${part:-$lock}"
  # Of the collections' thousands of files a few are used: Python compiles those when it first loads them. All else is loaded at each start,
  # which must not compile it where Python was told to write nothing (PYTHONDONTWRITEBYTECODE)
  # (some packages bring examples for older Pythons)
  "$place/bin/python" -m compileall -q -q -j 0 -x '/ansible_collections/' "$place/lib" || true
  touch "$place/.ready${part:+-$part}"
fi
# Those that nobody asked for within a month go
touch "$place" "$place.lock"
find "$shared" -mindepth 1 -maxdepth 1 -mtime +30 -exec rm -rf {} +
# It was a folder of the checkout before
[ -L "$link" ] || rm -rf "$link"
ln -sfn "$place" "$link"
