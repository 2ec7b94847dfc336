#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A real Slurm on this machine for tests, without systemd: munged, slurmctld and several slurmd on loopback. Needs root and the
# packages of setup.sh --slurm. Everything lies in DIR; /etc is not touched; only processes it started are ended, by id.
#   scripts/slurm_test_cluster.sh up DIR [NODES [CORES_PER_NODE [hosts]]]   starts it; prints the line to evaluate: export SLURM_CONF=...
#       hosts: each node fsnodeI has its own network, name and processes, after scripts/test_hosts.sh up NODES
#   scripts/slurm_test_cluster.sh crash DIR NODE|controller         kill -9: a node with all its jobs' processes
#   scripts/slurm_test_cluster.sh start DIR NODE|controller         starts it again
#   scripts/slurm_test_cluster.sh down DIR                          cancels what runs, ends all
# FINESCALE_SLURM_PORT (16817): first of the ports used. Exit 3: something is missing.
set -euo pipefail

fail() { echo "slurm_test_cluster.sh: $*" >&2; exit 3; }
usage() { sed -n '3,10p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2; }
[ $# -ge 2 ] || usage
verb=$1
dir=$(realpath -m "$2")
export SLURM_CONF=$dir/slurm.conf
PATH=$PATH:/usr/sbin:/sbin
port=${FINESCALE_SLURM_PORT:-16817}

[ "$(id -u)" -eq 0 ] || fail "needs root: several slurmd run jobs as their user"
for program in munged slurmctld slurmd sbatch srun scontrol; do
  command -v $program >/dev/null || fail "$program is not installed (scripts/setup.sh --slurm)"
done

# Whether a process belongs to this cluster: its environment says so, whatever its id was before.
is_ours() { grep -zqxF "SLURM_CONF=$SLURM_CONF" "/proc/$1/environ" 2>/dev/null; }
variable() { tr '\0' '\n' 2>/dev/null <"/proc/$1/environ" | sed -n "s/^$2=//p" | head -1; }  # variable PID NAME
parent() { sed -n 's/^PPid:[[:space:]]*//p' "/proc/$1/status" 2>/dev/null; }

# Processes of jobs (on NODE, or all) and the slurmstepd above them.
job_processes() {
  local entry pid above
  for entry in /proc/[0-9]*; do
    pid=${entry#/proc/}
    if is_ours "$pid" && [ -n "$(variable "$pid" SLURM_JOB_ID)" ]; then
      if [ -z "${1:-}" ] || [ "$(variable "$pid" SLURMD_NODENAME)" = "$1" ]; then
        above=$(parent "$pid")
        [ "$(cat "/proc/$above/comm" 2>/dev/null)" != slurmstepd ] || echo "$above"
        echo "$pid"
      fi
    fi
  done | sort -nu
}
daemon_of() {  # daemon_of NAME: its process, when it lives
  local pid
  pid=$(cat "$dir/run/$1.pid" 2>/dev/null) && is_ours "$pid" && echo "$pid"
}
name_of() { [ "$1" = controller ] && echo slurmctld || echo "slurmd.$1"; }

start() {
  if [ "$1" = controller ]; then
    slurmctld
  elif [ -e "$dir/hosts" ]; then  # ended with all its jobs when this process is killed
    nsenter --net="/run/netns/$1" unshare --mount --uts --pid --fork --kill-child --mount-proc \
      sh -c 'hostname "$1"; exec slurmd -D -N "$1"' sh "$1" </dev/null >"$dir/log/slurmd.$1.out" 2>&1 &
    echo $! >"$dir/run/slurmd.$1.pid"
  else
    slurmd -N "$1"
  fi
}

write_configuration() {  # write_configuration NODES CORES
  local ports=$((port + 1)) host address=127.0.0.1 names="n[1-$1]" pids="slurmd.%n.pid" nodes
  host=$(hostname -s)
  [ "$1" -eq 1 ] || ports="[$((port + 1))-$((port + $1))]"
  nodes="NodeHostname=$host NodeAddr=127.0.0.1 Port=$ports"
  if [ -e "$dir/hosts" ]; then
    address=10.77.9.254
    names="fsnode[1-$1]"
    nodes="NodeAddr=10.77.9.[1-$1]"
    pids="%n.inside"  # ids inside of its host mean nothing here
  fi
  # One directory of temporary files for each node: pmix makes one of a job's name there. The short timeouts make a dead node
  # known in seconds.
  cat >"$SLURM_CONF" <<END
ClusterName=test
SlurmctldHost=$host($address)
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/run/munge.sock
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool/%n
SlurmctldPidFile=$dir/run/slurmctld.pid
SlurmdPidFile=$dir/run/$pids
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0,sched_min_interval=10000
PriorityType=priority/basic
MpiDefault=pmix
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$dir/log/jobcomp.txt
ReturnToService=2
SlurmdParameters=config_overrides
SlurmctldTimeout=30
SlurmdTimeout=5
MessageTimeout=2
TCPTimeout=1
KillOnBadExit=1
MinJobAge=3600
KillWait=5
WaitTime=0
MailProg=/bin/true
TmpFS=$dir/tmp/%n
NodeName=$names $nodes CPUs=$2 Sockets=1 CoresPerSocket=$2 ThreadsPerCore=1 RealMemory=4096 State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
END
}

up() {
  local nodes=${1:-2} cores=${2:-2} prefix=n node
  [ ${#dir} -lt 80 ] || fail "$dir is too long a path for munge's socket"
  [ -z "$(daemon_of slurmctld)" ] || fail "a cluster runs in $dir already"
  [ -d /sys/fs/cgroup ] || fail "slurmd needs /sys/fs/cgroup mounted"
  mkdir -p "$dir"/{state,spool,log,run,tmp}
  rm -f "$dir/hosts"
  [ "${3:-}" != hosts ] || { touch "$dir/hosts"; prefix=fsnode; }
  for node in $(seq "$nodes"); do
    mkdir -p "$dir/tmp/$prefix$node" "$dir/spool/$prefix$node"
  done
  [ -s "$dir/munge.key" ] || (umask 077; head -c 128 /dev/urandom >"$dir/munge.key")
  write_configuration "$nodes" "$cores"
  munged --force --key-file="$dir/munge.key" --socket="$dir/run/munge.sock" --pid-file="$dir/run/munged.pid" \
    --log-file="$dir/log/munged.log" --seed-file="$dir/run/munge.seed" --num-threads=2
  slurmctld -c
  for node in $(seq "$nodes"); do
    start "$prefix$node"
  done
  for _ in $(seq 200); do
    [ "$(sinfo --noheader --Node --states=idle --format=%N 2>/dev/null | wc -l)" -eq "$nodes" ] && break
    sleep 0.1
  done
  sinfo --Node --long >&2
  echo "export SLURM_CONF=$SLURM_CONF"
}

end() {  # end PID...: TERM, then KILL
  local pid
  kill "$@" 2>/dev/null || true
  for _ in $(seq 100); do
    for pid in "$@"; do
      [ -d "/proc/$pid" ] && sleep 0.1 && continue 2
    done
    return 0
  done
  kill -9 "$@" 2>/dev/null || true
}

down() {
  local file pids=()
  if [ -n "$(daemon_of slurmctld)" ]; then
    timeout 5 scancel --user=root 2>/dev/null || true
    for _ in $(seq 50); do
      [ -n "$(timeout 5 squeue --noheader 2>/dev/null)" ] || break
      sleep 0.1
    done
  fi
  for file in "$dir"/run/*.pid; do
    file=$(basename "$file" .pid)
    [ -z "$(daemon_of "$file")" ] || pids+=("$(daemon_of "$file")")
    case $file in
      slurmd.*) [ ! -e "$dir/hosts" ] || kill -9 "$(daemon_of "$file")" 2>/dev/null || true ;;  # unshare heeds nothing else
    esac
  done
  [ ${#pids[@]} -eq 0 ] || end "${pids[@]}"
  mapfile -t pids < <(job_processes)  # of nodes that had crashed
  [ ${#pids[@]} -eq 0 ] || end "${pids[@]}"
}

crash() {
  local pids
  pids=$(daemon_of "$(name_of "$1")") || fail "$1 does not run"
  [ "$1" = controller ] || pids="$pids $(job_processes "$1")"
  # shellcheck disable=SC2086  # a list of ids
  kill -9 $pids 2>/dev/null || true
}

case $verb in
  up) up "${@:3}" ;;
  down) down ;;
  crash | start) [ $# -eq 3 ] || usage; "$verb" "$3" ;;
  *) usage ;;
esac
