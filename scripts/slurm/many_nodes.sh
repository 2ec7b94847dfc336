#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A sweep whose trials need several nodes each: one gang over all of them, on the mesh that the planner chooses.
#   sbatch scripts/slurm/many_nodes.sh SWEEP.yaml [--set PATH=VALUE]...     finescale on PATH, or FINESCALE=/path/of/finescale
#SBATCH --job-name=finescale-many-nodes
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=2
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
finescale=${FINESCALE:-finescale}

# Shortly before the limit Slurm sends USR1: finescale saves and ends with 143, and this job is requeued.
run= warned=
trap 'warned=1; kill -USR1 "$run" 2>/dev/null' USR1
trap 'warned=; kill -TERM "$run" 2>/dev/null' TERM
"$finescale" run "$@" --wait --set resources.launcher='{srun: {}}' --set mesh=auto --set resources.ranks_per_gang="$SLURM_NTASKS" \
  --set resources.gangs=1 &
run=$!
[ -z "$warned" ] || kill -USR1 "$run"
until wait "$run"; ! kill -0 "$run" 2>/dev/null; do :; done
wait "$run"
code=$?
[ -z "$warned" ] || [ "$code" -lt 128 ] || scontrol requeue "$SLURM_JOB_ID"
exit "$code"
