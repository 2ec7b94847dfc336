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
. "$here/../faults/harness.sh"
kind=$3
[ "$kind" = local ] || { need_slurm && need_hosts; }
begin_test pool_sweep "$1" "$2"
# Each fault below must meet gangs at work, however fast this machine is: the sweep is long enough when two gangs need 15 s for it.
if [ "$kind" = slurm ]; then seeds=12 epochs=8; else seeds=4 epochs=24; fi
for (( ; ; epochs *= 2)); do
  write_word_sweep pool "epochs: $epochs" "[$(seq -s ', ' $seeds)]" <<'END'
resources: {heartbeat_timeout: 20, orphan_timeout: 20, retry_delay: 0.1}
END
  rm -rf plain
  begun=$SECONDS
  run_undisturbed plain --set resources.gangs=2
  [ $((SECONDS - begun)) -lt 15 ] || break
done

say "undisturbed, with mpirun: $(count_trials plain) trials of $epochs epochs"

if [ "$kind" = slurm ]; then
  hosts_up 3
  slurm_up 3 1 hosts
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
# The gang that a job's name ends in has taken a step.
pilot_works() { works bad "$(name_of "$1" | sed 's/.*-//')"; }
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
until_true 60 "a gang works" works bad
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
until_true 60 "a gang works" works bad
[ "$(queue | wc -l)" -eq "$before" ] || fail "$(($(queue | wc -l) - before)) pilots were made beside those that lived"
[ "$(jobs_in RUNNING | xargs)" = "$running" ] || fail "pilots $running became $(jobs_in RUNNING | xargs)"
say "killed the coordinator: the next goes on with $running"

# 3. A pilot is lost with its node, without a word.
victim=$(jobs_in RUNNING | head -1)
until_true 60 "pilot $victim works" pilot_works "$victim"
if [ "$kind" = slurm ]; then
  node=$(scontrol show job -o "$victim" | sed -n 's/.* BatchHost=\([^ ]*\).*/\1/p')
  "$slurm_cluster" crash "$work/cluster" "$node"
  scontrol update nodename=fsnode3 state=resume
else
  kill -9 -- -"$(cat "queue/jobs/$victim/pid")"
fi
until_true 90 "$victim is lost and another runs" eval '[ "$(state_of "$victim")" != RUNNING ] && has_jobs 2'
say "lost $victim ($(state_of "$victim")): $(jobs_in RUNNING | xargs) run"

# 4. Slurm is away, then answers nonsense, while the work goes on.
if [ "$kind" = slurm ]; then
  "$slurm_cluster" crash "$work/cluster" controller
  sleep 5
  "$slurm_cluster" start "$work/cluster" controller
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
check_sweep bad
say "done by $(queue | wc -l) pilots"
end_test || { queue; tail -60 bad.log; exit 1; }
