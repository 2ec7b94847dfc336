#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A sweep as a job of a real Slurm that is treated badly: the job is requeued again and again, warned of its limit, a node is
# killed, the controller is killed and started again. The results must be those of the undisturbed sweep, bit for bit, the
# audit clean, and no job or trial may be there twice.
#   slurm_sweep.sh BIN_DIR WORK_DIR quick|full
set -uo pipefail
. "$(dirname "$0")/../faults/harness.sh"
tier=$3
need_slurm
begin_test slurm_sweep "$1" "$2"
requeues=20
write_sweep() {  # write_sweep EPOCHS SEEDS
  write_word_sweep slurm "epochs: $1" "[$(seq -s ', ' "$2")]" <<'END'
resources: {gangs: 2, ranks_per_gang: 1, heartbeat_timeout: 20, orphan_timeout: 10, retry_delay: 0.1}
END
}
slurm=(--set resources.launcher='{srun: {}}' --set resources.slurm='{save_before: 30, prologue: ["export FINESCALE_TEST=1"]}')

state_of() { squeue --noheader --states=all --jobs="$1" --format=%T 2>/dev/null; }  # state_of JOB
is_state() { [ "$(state_of "$1")" = "$2" ]; }
is_over() { case $(state_of "$1") in COMPLETED | FAILED | TIMEOUT | CANCELLED | NODE_FAIL) ;; *) return 1 ;; esac; }
# A requeued job waits two minutes for the nodes to settle; told to start now, it does. Not at once: in the second in which it was
# ended there its node refuses it, and it has failed.
hurry() { sleep 2; scontrol update jobid="$1" StartTime=now 2>/dev/null; }
runs_again() { is_state "$1" RUNNING || is_over "$1" || { [ "$(state_of "$1")" != PENDING ] || hurry "$1"; false; }; }
works_or_over() { works "$2" || is_over "$1"; }
jobs_of() { squeue --noheader --states="$1" --format='%j' 2>/dev/null | grep -c '^finescale-slurm-'; }  # jobs_of STATES

check() {  # check DIR
  check_sweep "$1"
  [ "$(count_trials "$1")" -eq "$trials" ] || fail "$1: $(count_trials "$1") trials instead of $trials"
}
submit() { "$finescale" submit sweep.yaml "${slurm[@]}" "$@" 2>>submit.log; }

if [ "$tier" = quick ]; then
  write_sweep 2 2
  run_undisturbed plain
else  # long enough for all that is done to it, however fast this machine is: two gangs need 40 s
  for ((epochs = 4; ; epochs *= 2)); do
    write_sweep "$epochs" 24
    rm -rf plain
    begun=$SECONDS
    run_undisturbed plain
    [ $((SECONDS - begun)) -lt 40 ] || break
  done
  say "$epochs epochs"
fi
trials=$(count_trials plain)
say "undisturbed, with mpirun: $trials trials"
slurm_up 3 4
one_machine_as_nodes

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
    "$slurm_cluster" crash "$work/cluster" "$node"
    say "killed node $node"
    until_true 90 "the job is requeued" is_state "$job" PENDING && until_true 60 "job $job runs again" runs_again "$job"
    "$slurm_cluster" start "$work/cluster" "$node"
    say "job $job runs on $(squeue --noheader --jobs="$job" --format=%N)"
  else
    fail "the sweep was done before its node could be killed"
  fi
  sleep 3  # the controller writes its state every few seconds; a job newer than that may be forgotten
  "$slurm_cluster" crash "$work/cluster" controller
  sleep 2
  "$slurm_cluster" start "$work/cluster" controller
  until_true 30 "the controller answers" eval 'squeue >/dev/null 2>&1'
  say "killed the controller and started it again: job $job is $(state_of "$job")"
  is_over "$job" || [ "$(submit --set output=bad)" = "$job" ] || fail "submit after the controller's crash"
  until_true 300 "job $job is done" eval 'is_over $job || { runs_again $job; false; }'
  is_state "$job" COMPLETED || { fail "job $job is $(state_of "$job")"; tail -20 bad/logs/slurm-*.log; }
  check bad
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
check warned
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
  until_true 600 "job $follower is done" is_over "$follower"
  is_state "$follower" COMPLETED || { fail "job $follower is $(state_of "$follower")"; tail -20 chain/logs/slurm-*.log; }
fi
check chain
say "chained sweep: done, $failures failures"

# 4. A real limit of one minute.
if [ "$tier" = full ]; then
  job=$(submit --set output=limit --set resources.slurm.time=1) || { cat submit.log; exit 1; }
  until_true 600 "job $job is done" eval 'is_over $job || { runs_again $job; false; }'
  is_state "$job" COMPLETED || { fail "job $job is $(state_of "$job")"; tail -20 limit/logs/slurm-*.log; }
  say "limit of a minute: $(scontrol show job -o "$job" | sed -n 's/.* \(Restarts=[0-9]*\).*/\1/p')"
  check limit
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
    "$slurm_cluster" start "$work/cluster" "$node"
  fi
  check cut
  say "cut-off sweep: done, $failures failures"
fi
end_test
