#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# An array of gangs: each task of the array is a campaign of its own, with its seed, wherever Slurm finds a free node. A task that
# is requeued goes on alone; the others do not notice.
#   sbatch scripts/slurm/gang_array.sh SWEEP.yaml DIR [--set PATH=VALUE]...  results: DIR/seed-N; finescale on PATH, or FINESCALE=...
#SBATCH --job-name=finescale-gang-array
#SBATCH --array=1-3
#SBATCH --ntasks=1
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
finescale=${FINESCALE:-finescale}
sweep=$1 directory=$2
shift 2

# Shortly before the limit Slurm sends USR1: finescale saves and ends with 143, and this job is requeued.
run= warned=
trap 'warned=1; kill -USR1 "$run" 2>/dev/null' USR1
trap 'warned=; kill -TERM "$run" 2>/dev/null' TERM
# SLURM_JOB_ID is the task's own: requeueing it leaves the rest of the array alone.
"$finescale" run "$sweep" "$@" --wait --set output="$directory/seed-$SLURM_ARRAY_TASK_ID" --set axes.seed="[$SLURM_ARRAY_TASK_ID]" \
  --set resources.gangs=1 &
run=$!
[ -z "$warned" ] || kill -USR1 "$run"
until wait "$run"; ! kill -0 "$run" 2>/dev/null; do :; done
wait "$run"
code=$?
[ -z "$warned" ] || [ "$code" -lt 128 ] || scontrol requeue "$SLURM_JOB_ID"
exit "$code"
