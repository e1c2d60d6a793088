#!/bin/sh
# Kubelet and edgecore insist on these kernel settings and would write them for the whole machine. They are shown what
# they want to see by bind mounts that exist in this container only.
set -eu
mkdir -p /run/lab-tunables
while read -r name value; do
  file=/proc/sys/$name
  [ "$(cat "$file")" = "$value" ] && continue
  shown=/run/lab-tunables/$(echo "$name" | tr / _)
  echo "$value" >"$shown"
  mount --bind "$shown" "$file"
done <<EOF
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
EOF
