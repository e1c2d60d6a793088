#!/bin/sh
# PID 1 of a lab node: makes the container look like a machine of its own, then hands over to systemd.
set -eu

# Kubelet and runc make control groups themselves; the engine mounts them read-only (each hierarchy on cgroup v1, one on v2).
mount -o remount,bind,rw /sys/fs/cgroup
awk '$3 ~ /^cgroup/ {print $2}' /proc/mounts | while read -r hierarchy; do
  mount -o remount,bind,rw "$hierarchy"
done
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
  # v2: no process may stay in the root group, or controllers cannot be handed down
  mkdir -p /sys/fs/cgroup/init.scope
  while read -r pid; do
    echo "$pid" >/sys/fs/cgroup/init.scope/cgroup.procs 2>/dev/null || true
  done </sys/fs/cgroup/cgroup.procs
  sed 's/\([a-z_]*\)/+\1/g' /sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control
fi

# Pods with mount propagation need a shared root.
mount --make-rshared /

# Made once per node: copies of one image would share them.
[ -s /etc/machine-id ] || systemd-machine-id-setup
[ -f /etc/ssh/ssh_host_ed25519_key ] || ssh-keygen -q -A

exec /sbin/init
