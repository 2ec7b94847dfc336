#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The batch scripts of scripts/slurm: well formed, and on a real Slurm each runs its sweep, requeues itself when it is warned of its
# limit, and gives the results of one machine, bit for bit.
#   example_scripts.sh BIN_DIR WORK_DIR check|run
set -uo pipefail
source_dir=$(cd "$(dirname "$0")/../.." && pwd)
bin=$(cd "$1" && pwd)
work=$(realpath -m "$2")
scripts=$source_dir/scripts/slurm
cluster=$source_dir/scripts/slurm_test_cluster.sh
PATH=$PATH:/usr/sbin:/sbin
failures=0
begin=$SECONDS
say() { echo "example_scripts: $(printf '%4d' $((SECONDS - begin))) s: $*"; }
fail() { say "FAILED: $*"; failures=$((failures + 1)); }

for script in "$scripts"/*.sh; do
  bash -n "$script" || fail "$script is not well formed"
  # What a script must keep, whatever else is changed in it.
  for line in '#SBATCH --signal=B:USR1@120' '#SBATCH --open-mode=append' '#SBATCH --requeue' "trap 'warned=1; kill -USR1" 'until wait "$run"' 'scontrol requeue' '--wait'; do
    grep -qF -- "$line" "$script" || fail "$script lacks $line"
  done
done
if [ "$3" = check ]; then
  say "$failures failures"
  [ $failures -eq 0 ]
  exit
fi

skip() { echo "example_scripts: skipped: $*"; exit 77; }
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
write_word_sweep examples 'epochs: 4' '[1, 2, 3]' <<'END'
resources: {heartbeat_timeout: 20, orphan_timeout: 10, retry_delay: 0.1}
END
export FINESCALE=$bin/finescale FINESCALE_TEST=1
for seeds in '[1, 2, 3]' '[1]' '[2]' '[3]'; do
  name=plain$(echo "$seeds" | tr -dc 0-9)
  "$FINESCALE" run sweep.yaml --set output="$name" --set axes.seed="$seeds" --set resources.gangs=2 >"$name.log" 2>&1 || { fail "$name"; tail -5 "$name.log"; exit 1; }
done
check() {  # check DIR REFERENCE
  [ "$("$FINESCALE" results "$1" --json --canonical)" = "$("$FINESCALE" results "$2" --json --canonical)" ] || fail "$1: results differ from $2"
  "$FINESCALE" audit "$1" >audit.log 2>&1 || { fail "$1: audit"; head -5 audit.log; }
}
"$cluster" up "$work/cluster" 3 4 >cluster.log 2>&1 || { cat cluster.log; exit 1; }
export SLURM_CONF=$work/cluster/slurm.conf OMPI_MCA_btl=self,tcp OMPI_MCA_btl_tcp_if_include=lo
trap '"$cluster" down "$work/cluster"' EXIT
trap 'exit 1' INT TERM
states() { squeue --noheader --states=all --jobs="$1" --format=%T 2>/dev/null; }
is_over() { [ -n "$(states "$1")" ] && ! states "$1" | grep -qE 'PENDING|RUNNING|COMPLETING|REQUEUED'; }
works() { "$FINESCALE" status "$1" --json 2>/dev/null | tr -d ' \n' | grep -q '"step":[1-9]'; }
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
  check $script plain123
done
job=$(sbatch --parsable --output='array-%a.out' "$scripts/gang_array.sh" sweep.yaml array)
for _ in $(seq 300); do works array/seed-2 && break; is_over "$job" && break; sleep 0.2; done
scancel --signal=USR1 --batch "${job}_2" 2>/dev/null
finish "$job"
for seed in 1 2 3; do
  check "array/seed-$seed" "plain$seed"
done
say "gang_array.sh: done"
echo "example_scripts: $failures failures after $((SECONDS - begin)) s"
[ $failures -eq 0 ]
