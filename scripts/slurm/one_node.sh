#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A sweep on one node: gangs of two ranks side by side, one for every two tasks of the job.
#   sbatch scripts/slurm/one_node.sh SWEEP.yaml [--set PATH=VALUE]...     finescale on PATH, or FINESCALE=/path/of/finescale
#SBATCH --job-name=finescale-one-node
#SBATCH --nodes=1
#SBATCH --ntasks=4
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
finescale=${FINESCALE:-finescale}
gangs=$((SLURM_NTASKS / 2))

# Shortly before the limit Slurm sends USR1: finescale saves and ends with 143, and this job is requeued.
run= warned=
trap 'warned=1; kill -USR1 "$run" 2>/dev/null' USR1
trap 'warned=; kill -TERM "$run" 2>/dev/null' TERM
"$finescale" run "$@" --wait --set resources.launcher='{srun: {}}' --set mesh='{data: 2}' --set resources.ranks_per_gang=2 \
  --set resources.gangs="$gangs" &
run=$!
[ -z "$warned" ] || kill -USR1 "$run"
until wait "$run"; ! kill -0 "$run" 2>/dev/null; do :; done
wait "$run"
code=$?
[ -z "$warned" ] || [ "$code" -lt 128 ] || scontrol requeue "$SLURM_JOB_ID"
exit "$code"
