#!/usr/bin/env bash
# Runs a command that says nothing for long, and says every few seconds that it is at work.
# usage: say.sh WHAT COMMAND [ARGUMENT...]
set -euo pipefail

what=$1
shift
echo "$what"
"$@" &
command=$!
while sleep 5 && kill -0 "$command" 2>/dev/null; do
  echo "  ... $what: $SECONDS s"
done &
ticker=$!
trap 'kill "$ticker" 2>/dev/null || true' EXIT
wait "$command"
