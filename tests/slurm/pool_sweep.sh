#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A sweep by pilot jobs that come and go: one is cancelled at work, one waits for ever, one is lost with its node, the coordinator
# is killed and started again, Slurm is away and answers nonsense. The results must be those of the undisturbed sweep, bit for bit,
# the audit clean, no pilot made twice, and none left over.
#   pool_sweep.sh BIN_DIR WORK_DIR local|slurm
# local: pilots are processes of this machine (local_slurm.sh). slurm: jobs of a real Slurm whose nodes have networks of their own, so
# that the coordinator is called over TLS.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source_dir=$(cd "$here/../.." && pwd)
bin=$(cd "$1" && pwd)
work=$(realpath -m "$2")
kind=$3
finescale=$bin/finescale
cluster=$source_dir/scripts/slurm_test_cluster.sh
hosts=$source_dir/scripts/test_hosts.sh
PATH=$PATH:/usr/sbin:/sbin
skip() { echo "pool_sweep: skipped: $*"; exit 77; }
if [ "$kind" = slurm ]; then
  [ "$(id -u)" -eq 0 ] || skip "not root"
  for program in munged slurmctld slurmd sbatch; do
    command -v $program >/dev/null || skip "$program is not installed (scripts/setup.sh --slurm)"
  done
  [ -d /sys/fs/cgroup ] || skip "no /sys/fs/cgroup, which slurmd needs"
  ip netns add fsprobe 2>/dev/null && ip netns del fsprobe || skip "no network namespaces here"
  [ ! -e "$work/cluster/slurm.conf" ] || "$cluster" down "$work/cluster"
fi
rm -rf "$work"
mkdir -p "$work"
cd "$work" || exit 1
. "$source_dir/tests/faults/words.sh"
write_words
write_word_sweep pool 'epochs: 8' "[$(seq -s ', ' "$([ "$kind" = slurm ] && echo 12 || echo 4)")]" <<'END'
resources: {heartbeat_timeout: 20, orphan_timeout: 20, retry_delay: 0.1}
END

failures=0
begin=$SECONDS
say() { echo "pool_sweep: $(printf '%4d' $((SECONDS - begin))) s: $*"; }
fail() { say "FAILED: $*"; failures=$((failures + 1)); }
until_true() {  # until_true SECONDS WHAT COMMAND...
  local limit=$1 what=$2 start=$SECONDS
  shift 2
  until "$@"; do
    if [ $((SECONDS - start)) -gt "$limit" ]; then
      fail "after $limit s still not: $what"
      return 1
    fi
    sleep 0.2
  done
}
results_of() { "$finescale" results "$1" --json --canonical; }
check() {  # check NAME DIR
  if [ "$(results_of "$2")" != "$reference" ]; then
    fail "$1: results differ"
    diff <(echo "$reference") <(results_of "$2") | head -5
  fi
  "$finescale" audit "$2" >audit.log 2>&1 || { fail "$1: audit"; head -5 audit.log; }
}

"$finescale" run sweep.yaml --set output=plain --set resources.gangs=2 >plain.log 2>&1 || { fail "the undisturbed sweep"; tail -5 plain.log; exit 1; }
reference=$(results_of plain)
say "undisturbed, with mpirun: $("$finescale" results plain --csv | tail -n +2 | wc -l) trials"

if [ "$kind" = slurm ]; then
  trap '"$cluster" down "$work/cluster"; "$hosts" down' EXIT
  trap 'exit 1' INT TERM
  "$hosts" down
  "$hosts" up 3 && "$cluster" up "$work/cluster" 3 1 hosts >cluster.log 2>&1 || { cat cluster.log; exit 1; }
  export SLURM_CONF=$work/cluster/slurm.conf
  start='srun: {}'
  place=(--set resources.interface=fsbridge)
else
  mkdir -p programs queue/jobs
  for program in sbatch squeue scancel; do
    ln -s "$here/local_slurm.sh" programs/$program
  done
  export PATH=$work/programs:$PATH LOCAL_SLURM=$work/queue
  start='mpirun: {}'
  place=()
fi
queue() { squeue --noheader --states=all --user="$(id -u)" --format='%i|%T|%j' 2>/dev/null | grep -- '-pilot-'; }
jobs_in() { queue | awk -F'|' -v s="$1" '$2 == s { print $1 }'; }
name_of() { queue | awk -F'|' -v j="$1" '$1 == j { print $3 }'; }
count_in() { jobs_in "$1" | wc -l; }
is_count() { [ "$(count_in "$1")" -eq "$2" ]; }
has_jobs() { [ "$(count_in RUNNING)" -ge "$1" ]; }
state_of() { queue | awk -F'|' -v j="$1" '$1 == j { print $2 }'; }
hold() { if [ "$kind" = slurm ]; then scontrol hold "$1"; else touch "queue/held/$1"; fi; }
gang_works() { "$finescale" status bad --json 2>/dev/null | tr -d ' \n' | grep -q '"step":[1-9]'; }
# The gang that a job's name ends in has taken a step.
pilot_works() { "$finescale" status bad --json 2>/dev/null | tr -d ' \n' | grep -qE "\"id\":$(name_of "$1" | sed 's/.*-//'),[^}]*\"step\":[1-9]"; }
coordinate() {
  "$finescale" run sweep.yaml --set output=bad --set resources.launcher="{pool: {max_jobs: 3, poll: 0.5, idle: 30, $start}}" \
    --set resources.slurm='{save_before: 30}' "${place[@]}" >>bad.log 2>&1 &
  coordinator=$!
}

# Two places for three pilots: the third waits, and is held there for ever.
if [ "$kind" = slurm ]; then scontrol update nodename=fsnode3 state=drain reason=test; else echo 2 >queue/slots; fi
coordinate
until_true 60 "two pilots run and one waits" eval 'is_count RUNNING 2 && is_count PENDING 1' || { tail -5 bad.log; exit 1; }
held=$(jobs_in PENDING)
hold "$held"
until_true 60 "a gang works" gang_works
say "pilots $(jobs_in RUNNING | xargs) run, $held is held for ever"

# 1. One is cancelled while it works: another takes its place.
victim=$(jobs_in RUNNING | head -1)
until_true 60 "pilot $victim works" pilot_works "$victim"
scancel --jobname="$(name_of "$victim")"
until_true 60 "$victim is gone and another runs" eval '[ "$(state_of "$victim")" = CANCELLED ] && has_jobs 2'
say "cancelled $victim: $(jobs_in RUNNING | xargs) run"

# 2. The coordinator is killed: the next one takes its pilots over, the held one too, and makes none while they live.
before=$(queue | wc -l)
running=$(jobs_in RUNNING | xargs)
kill -9 $coordinator
wait $coordinator 2>/dev/null
coordinate
until_true 60 "the pilots are adopted" eval '[ "$(grep -c "of the coordinator before is alive" bad.log)" -ge 3 ]'
until_true 60 "a gang works" gang_works
[ "$(queue | wc -l)" -eq "$before" ] || fail "$(($(queue | wc -l) - before)) pilots were made beside those that lived"
[ "$(jobs_in RUNNING | xargs)" = "$running" ] || fail "pilots $running became $(jobs_in RUNNING | xargs)"
say "killed the coordinator: the next goes on with $running"

# 3. A pilot is lost with its node, without a word.
victim=$(jobs_in RUNNING | head -1)
until_true 60 "pilot $victim works" pilot_works "$victim"
if [ "$kind" = slurm ]; then
  node=$(scontrol show job -o "$victim" | sed -n 's/.* BatchHost=\([^ ]*\).*/\1/p')
  "$cluster" crash "$work/cluster" "$node"
  scontrol update nodename=fsnode3 state=resume
else
  kill -9 -- -"$(cat "queue/jobs/$victim/pid")"
fi
until_true 90 "$victim is lost and another runs" eval '[ "$(state_of "$victim")" != RUNNING ] && has_jobs 2'
say "lost $victim ($(state_of "$victim")): $(jobs_in RUNNING | xargs) run"

# 4. Slurm is away, then answers nonsense, while the work goes on.
if [ "$kind" = slurm ]; then
  "$cluster" crash "$work/cluster" controller
  sleep 5
  "$cluster" start "$work/cluster" controller
else
  touch queue/away; sleep 2; rm queue/away
  touch queue/nonsense; sleep 2; rm queue/nonsense
fi
until_true 60 "Slurm answers again" grep -q 'Slurm answers again' bad.log
kill -0 $coordinator 2>/dev/null || fail "the coordinator ended while Slurm was away"
say "Slurm was away"

wait $coordinator
code=$?
[ $code -eq 0 ] || { fail "the coordinator ended with $code"; tail -20 bad.log; }
until_true 30 "no pilot is left" eval 'is_count RUNNING 0 && is_count PENDING 0'
[ "$(state_of "$held")" = CANCELLED ] || fail "the held pilot is $(state_of "$held")"
[ -z "$(queue | cut -d'|' -f3 | sort | uniq -d)" ] || fail "a pilot was made twice: $(queue)"
check "pool" bad
say "done by $(queue | wc -l) pilots"
echo "pool_sweep: $failures failures after $((SECONDS - begin)) s"
[ $failures -eq 0 ] || { queue; tail -60 bad.log; exit 1; }
