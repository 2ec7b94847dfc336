#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The batch scripts of scripts/slurm: well formed, and on a real Slurm each runs its sweep, requeues itself when it is warned of its
# limit, and gives the results of one machine, bit for bit.
#   example_scripts.sh BIN_DIR WORK_DIR check|run
set -uo pipefail
. "$(dirname "$0")/../faults/harness.sh"
scripts=$(cd "$tests_dir/../scripts/slurm" && pwd)
[ "$3" = check ] || need_slurm
begin_test example_scripts "$1" "$2"

for script in "$scripts"/*.sh; do
  bash -n "$script" || fail "$script is not well formed"
  # What a script must keep, whatever else is changed in it.
  for line in '#SBATCH --signal=B:USR1@120' '#SBATCH --open-mode=append' '#SBATCH --requeue' "trap 'warned=1; kill -USR1" 'until wait "$run"' 'scontrol requeue' '--wait'; do
    grep -qF -- "$line" "$script" || fail "$script lacks $line"
  done
done
[ "$3" = run ] || { end_test; exit; }

write_word_sweep examples 'epochs: 4' '[1, 2, 3]' <<'END'
resources: {heartbeat_timeout: 20, orphan_timeout: 10, retry_delay: 0.1}
END
export FINESCALE=$finescale FINESCALE_TEST=1
for seeds in '[1, 2, 3]' '[1]' '[2]' '[3]'; do
  run_undisturbed "plain$(echo "$seeds" | tr -dc 0-9)" --set axes.seed="$seeds" --set resources.gangs=2
done
slurm_up 3 4
one_machine_as_nodes
states() { squeue --noheader --states=all --jobs="$1" --format=%T 2>/dev/null; }
is_over() { [ -n "$(states "$1")" ] && ! states "$1" | grep -qE 'PENDING|RUNNING|COMPLETING|REQUEUED'; }
finish() {  # finish JOB: a requeued job waits for two minutes, unless it is told not to
  local start=$SECONDS
  sleep 3  # a node does not take a job in the second in which it was killed there
  until is_over "$1"; do
    [ $((SECONDS - start)) -lt 300 ] || { fail "job $1 is $(states "$1" | xargs)"; return; }
    squeue --noheader --jobs="$1" --states=PENDING --array --format=%A 2>/dev/null | while read -r one; do scontrol update jobid="$one" StartTime=now 2>/dev/null; done
    sleep 0.5
  done
  states "$1" | grep -qvx COMPLETED && { fail "job $1 is $(states "$1" | xargs)"; tail -n 5 ./*.out; }
}

for script in one_node many_nodes; do
  job=$(sbatch --parsable --output="$script.out" "$scripts/$script.sh" sweep.yaml --set output=$script)
  for _ in $(seq 300); do works $script && break; is_over "$job" && break; sleep 0.2; done
  is_over "$job" || scancel --signal=USR1 --batch "$job"
  finish "$job"
  say "$script.sh: job $job restarted $(scontrol show job -o "$job" | sed -n 's/.* Restarts=\([0-9]*\).*/\1/p') times"
  check_sweep $script plain123
done
job=$(sbatch --parsable --output='array-%a.out' "$scripts/gang_array.sh" sweep.yaml array)
for _ in $(seq 300); do works array/seed-2 && break; is_over "$job" && break; sleep 0.2; done
scancel --signal=USR1 --batch "${job}_2" 2>/dev/null
finish "$job"
for seed in 1 2 3; do
  check_sweep "array/seed-$seed" "plain$seed"
done
say "gang_array.sh: done"
end_test
