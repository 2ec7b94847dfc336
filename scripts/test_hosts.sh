#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# "Hosts" on this machine for tests: network namespaces fsnode1..N (10.77.9.1..N) on the bridge fsbridge, where this machine itself is
# 10.77.9.254. Needs root.
#   scripts/test_hosts.sh up N | down | link I up|down
#   scripts/test_hosts.sh on I COMMAND...                          runs there, under the host's name
#   scripts/test_hosts.sh agent [-x...] fsnodeI COMMAND TEXT...    the same as mpirun's rsh agent calls it
set -u
bridge=fsbridge
net=10.77.9
on() {  # on HOST COMMAND...
  local host=$1
  shift
  exec ip netns exec "$host" unshare --uts sh -c 'hostname "$1"; shift; exec "$@"' sh "$host" "$@"
}
case ${1:-} in
  up)
    ip link add $bridge type bridge && ip addr add $net.254/24 dev $bridge && ip link set $bridge up || exit 1
    for i in $(seq "$2"); do
      ip netns add "fsnode$i" && ip link add "fsveth$i" type veth peer name eth0 netns "fsnode$i" &&
        ip link set "fsveth$i" master $bridge up && ip -n "fsnode$i" addr add $net."$i"/24 dev eth0 &&
        ip -n "fsnode$i" link set eth0 up && ip -n "fsnode$i" link set lo up || exit 1
    done
    ;;
  down)
    for host in $(ip netns list | sed -n 's/^\(fsnode[0-9]*\).*/\1/p'); do
      for pid in $(ip netns pids "$host" 2>/dev/null); do kill -9 "$pid" 2>/dev/null; done
      ip netns del "$host"
    done
    ip link del $bridge 2>/dev/null
    exit 0
    ;;
  link) ip link set "fsveth$2" "$3" ;;
  on)
    shift
    on "fsnode$1" "${@:2}"
    ;;
  agent)
    shift
    while [[ $1 == -* ]]; do shift; done
    on "$1" sh -c "${*:2}" </dev/null
    ;;
  *)
    sed -n '3,7p' "$0" | sed 's/^# \{0,1\}//' >&2
    exit 2
    ;;
esac
