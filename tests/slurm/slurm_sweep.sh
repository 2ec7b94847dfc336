#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A sweep as a job of a real Slurm that is treated badly: the job is requeued again and again, warned of its limit, a node is
# killed, the controller is killed and started again. The results must be those of the undisturbed sweep, bit for bit, the
# audit clean, and no job or trial may be there twice.
#   slurm_sweep.sh BIN_DIR WORK_DIR quick|full
set -uo pipefail
source_dir=$(cd "$(dirname "$0")/../.." && pwd)
bin=$(cd "$1" && pwd)
work=$(realpath -m "$2")
tier=$3
finescale=$bin/finescale
cluster=$source_dir/scripts/slurm_test_cluster.sh
PATH=$PATH:/usr/sbin:/sbin
skip() { echo "slurm_sweep: skipped: $*"; exit 77; }
[ "$(id -u)" -eq 0 ] || skip "not root"
for program in munged slurmctld slurmd sbatch; do
  command -v $program >/dev/null || skip "$program is not installed (scripts/setup.sh --slurm)"
done
[ -d /sys/fs/cgroup ] || skip "no /sys/fs/cgroup, which slurmd needs"

[ ! -e "$work/cluster/slurm.conf" ] || "$cluster" down "$work/cluster"
rm -rf "$work"
mkdir -p "$work"
cd "$work" || exit 1
. "$source_dir/tests/faults/words.sh"
write_words
seeds='[1, 2]'
requeues=20
[ "$tier" = quick ] || seeds="[$(seq -s ', ' 24)]"  # long enough for all that is done to it
write_word_sweep slurm 'epochs: 2' "$seeds" <<'END'
resources: {gangs: 2, ranks_per_gang: 1, heartbeat_timeout: 20, orphan_timeout: 10, retry_delay: 0.1}
END
slurm=(--set resources.launcher='{srun: {}}' --set resources.slurm='{save_before: 30, prologue: ["export FINESCALE_TEST=1"]}')

failures=0
say() { echo "slurm_sweep: $(printf '%4d' $((SECONDS - begin))) s: $*"; }
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
state_of() { squeue --noheader --states=all --jobs="$1" --format=%T 2>/dev/null; }  # state_of JOB
is_state() { [ "$(state_of "$1")" = "$2" ]; }
is_over() { case $(state_of "$1") in COMPLETED | FAILED | TIMEOUT | CANCELLED | NODE_FAIL) ;; *) return 1 ;; esac; }
# A requeued job waits two minutes for the nodes to settle; told to start now, it does.
hurry() { scontrol update jobid="$1" StartTime=now 2>/dev/null; }
runs_again() { is_state "$1" RUNNING || is_over "$1" || { [ "$(state_of "$1")" != PENDING ] || hurry "$1"; false; }; }
is_working() { "$finescale" status "$1" --json 2>/dev/null | tr -d ' \n' | grep -q '"state":"running".*"step":[1-9]\|"step":[1-9].*"state":"running"'; }
works_or_over() { is_working "$2" || is_over "$1"; }
jobs_of() { squeue --noheader --states="$1" --format='%j' 2>/dev/null | grep -c '^finescale-slurm-'; }  # jobs_of STATES

check() {  # check NAME DIR
  local results
  results=$("$finescale" results "$2" --json --canonical)
  if [ "$results" != "$reference" ]; then
    fail "$1: results differ"
    diff <(echo "$reference") <(echo "$results") | head -5
  fi
  "$finescale" audit "$2" >audit.log 2>&1 || { fail "$1: audit"; head -5 audit.log; }
  [ "$(results_count "$2")" -eq "$trials" ] || fail "$1: $(results_count "$2") trials instead of $trials"
}
results_count() { "$finescale" results "$1" --csv | tail -n +2 | cut -d, -f1 | sort -u | wc -l; }
submit() { "$finescale" submit sweep.yaml "${slurm[@]}" "$@" 2>>submit.log; }

begin=$SECONDS
"$finescale" run sweep.yaml --set output=plain >plain.log 2>&1 || { fail "the undisturbed sweep"; tail -5 plain.log; exit 1; }
reference=$("$finescale" results plain --json --canonical)
trials=$(results_count plain)
say "undisturbed, with mpirun: $trials trials"

"$cluster" up "$work/cluster" 3 4 >cluster.log 2>&1 || { cat cluster.log; exit 1; }
export SLURM_CONF=$work/cluster/slurm.conf OMPI_MCA_btl=self,tcp OMPI_MCA_btl_tcp_if_include=lo
trap '"$cluster" down "$work/cluster"' EXIT
trap 'exit 1' INT TERM

# 1. Requeued by hand, the node of the coordinator killed, the controller killed.
mistreated() {
  job=$(submit --set output=bad) || { cat submit.log; exit 1; }
  [ "$(submit --set output=bad)" = "$job" ] || fail "a second submit did not find job $job"
  restarts=0
  for i in $(seq "$requeues"); do
    until_true 120 "job $job works" works_or_over "$job" bad || break
    is_over "$job" && break
    sleep "0.$((RANDOM % 10))"
    scontrol requeue "$job" 2>/dev/null && restarts=$((restarts + 1))
    until_true 60 "job $job runs again" runs_again "$job" || break
    [ "$(jobs_of RUNNING)" -le 1 ] || fail "two jobs run at once"
  done
  say "requeued by hand $restarts times, state $(state_of "$job")"
  [ "$restarts" -eq "$requeues" ] || fail "only $restarts requeues before the sweep was done"

  if until_true 120 "job $job works" works_or_over "$job" bad && ! is_over "$job"; then
    node=$(scontrol show job -o "$job" | sed -n 's/.* BatchHost=\([^ ]*\).*/\1/p')
    "$cluster" crash "$work/cluster" "$node"
    say "killed node $node"
    until_true 90 "the job is requeued" is_state "$job" PENDING && until_true 60 "job $job runs again" runs_again "$job"
    "$cluster" start "$work/cluster" "$node"
    say "job $job runs on $(squeue --noheader --jobs="$job" --format=%N)"
  else
    fail "the sweep was done before its node could be killed"
  fi
  sleep 3  # the controller writes its state every few seconds; a job newer than that may be forgotten
  "$cluster" crash "$work/cluster" controller
  sleep 2
  "$cluster" start "$work/cluster" controller
  until_true 30 "the controller answers" eval 'squeue >/dev/null 2>&1'
  say "killed the controller and started it again: job $job is $(state_of "$job")"
  is_over "$job" || [ "$(submit --set output=bad)" = "$job" ] || fail "submit after the controller's crash"
  until_true 300 "job $job is done" eval 'is_over $job || { runs_again $job; false; }'
  is_state "$job" COMPLETED || { fail "job $job is $(state_of "$job")"; tail -20 bad/logs/slurm-*.log; }
  check "requeued" bad
  [ "$(jobs_of all)" -eq 1 ] || fail "$(jobs_of all) jobs were made"
  say "requeued sweep: done, $failures failures"
}
[ "$tier" = quick ] || mistreated

# 2. Warned of its limit: the job saves and requeues itself.
job=$(submit --set output=warned) || { cat submit.log; exit 1; }
if until_true 120 "job $job works" works_or_over "$job" warned && ! is_over "$job"; then
  scancel --signal=USR1 --batch "$job"
  until_true 60 "job $job requeued itself" is_state "$job" PENDING
  until_true 60 "job $job runs again" runs_again "$job"
  scontrol show job -o "$job" | grep -q ' Restarts=1 ' || fail "job $job did not restart once"
fi
until_true 300 "job $job is done" is_over "$job"
is_state "$job" COMPLETED || { fail "job $job is $(state_of "$job")"; tail -20 warned/logs/slurm-*.log; }
check "warned" warned
say "warned sweep: done, $failures failures"

# 3. The same where Slurm does not requeue: another job follows. Gangs of two ranks over two nodes.
job=$(submit --set output=chain --set resources.slurm.requeue=false --set resources.gangs=1 --set resources.ranks_per_gang=2 \
  --set resources.threads_per_rank=4 --set resources.slurm.nodes=2) || { cat submit.log; exit 1; }
follower=
if until_true 120 "job $job works" works_or_over "$job" chain && ! is_over "$job"; then
  scancel --signal=USR1 --batch "$job"
  until_true 60 "job $job ended" is_over "$job"
  follower=$(sed -n 's/.*"job": "\([0-9]*\)".*/\1/p' chain/slurm/submission.json)
  [ -n "$follower" ] && [ "$follower" != "$job" ] || fail "no job follows $job"
  [ "$(submit --set output=chain --set resources.ranks_per_gang=2)" = "$follower" ] || fail "submit did not find the follower"
  until_true 300 "job $follower is done" is_over "$follower"
  is_state "$follower" COMPLETED || { fail "job $follower is $(state_of "$follower")"; tail -20 chain/logs/slurm-*.log; }
fi
check "chained" chain
say "chained sweep: done, $failures failures"

# 4. A real limit of one minute.
if [ "$tier" = full ]; then
  job=$(submit --set output=limit --set resources.slurm.time=1) || { cat submit.log; exit 1; }
  until_true 600 "job $job is done" eval 'is_over $job || { runs_again $job; false; }'
  is_state "$job" COMPLETED || { fail "job $job is $(state_of "$job")"; tail -20 limit/logs/slurm-*.log; }
  say "limit of a minute: $(scontrol show job -o "$job" | sed -n 's/.* \(Restarts=[0-9]*\).*/\1/p')"
  check "limit" limit
fi
# 5. A node that is cut off: its slurmd is gone, its job's processes are not. Slurm requeues the job elsewhere, where it waits until the
# coordinator on the lost node has ended.
if [ "$tier" = full ]; then
  job=$(submit --set output=cut) || { cat submit.log; exit 1; }
  if until_true 120 "job $job works" works_or_over "$job" cut && ! is_over "$job"; then
    node=$(scontrol show job -o "$job" | sed -n 's/.* BatchHost=\([^ ]*\).*/\1/p')
    kill -9 "$(cat "$work/cluster/run/slurmd.$node.pid")"
    until_true 90 "the job is requeued" is_state "$job" PENDING && until_true 60 "job $job runs again" runs_again "$job"
    until_true 300 "job $job is done" is_over "$job"
    is_state "$job" COMPLETED || { fail "job $job is $(state_of "$job")"; tail -20 cut/logs/slurm-*.log; }
    grep -q 'another coordinator runs this campaign: waiting' cut/logs/coordinator.log || say "the lost node's coordinator had ended already"
    "$cluster" start "$work/cluster" "$node"
  fi
  check "cut off" cut
  say "cut-off sweep: done, $failures failures"
fi
echo "slurm_sweep: $failures failures after $((SECONDS - begin)) s"
[ $failures -eq 0 ]
