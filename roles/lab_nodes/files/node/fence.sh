#!/bin/sh
# Nothing that is addressed to the service range or to another node's pods may leave a lab node: outside, such addresses
# belong to strangers. NAT comes first, so what a service rule translated has another destination by then.
set -eu
services=$1
pods=$2

fence() { # TABLE CHAIN RULE...
  table=$1 chain=$2
  shift 2
  iptables -w -t "$table" -C "$chain" "$@" 2>/dev/null || iptables -w -t "$table" -I "$chain" "$@"
}
for chain in OUTPUT FORWARD; do
  fence filter "$chain" -d "$services" -j REJECT
  fence filter "$chain" -d "$pods" ! -o cni0 -j REJECT
done
# Rules that others put before the ones above may accept; this table has nobody else's verdicts.
fence mangle POSTROUTING -d "$services" -j DROP
fence mangle POSTROUTING -d "$pods" ! -o cni0 -j DROP
