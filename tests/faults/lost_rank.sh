#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A sharded run that loses a rank: stopped, its watchdog must name it and end the job; killed, the job must end at once, and
# --resume must reach the undisturbed run's numbers. Also: a timeline of a run is valid and shows what it should.
#   lost_rank.sh BIN_DIR WORK_DIR
set -uo pipefail
bin=$(cd "$1" && pwd)
work=$2
rm -rf "$work"
mkdir -p "$work"
cd "$work" || exit 1
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 \
  OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_hwloc_base_binding_policy=none OMP_NUM_THREADS=1 GOMP_SPINCOUNT=1000

awk 'BEGIN { srand(7); for (i = 0; i < 300; i++) { w = ""; n = 3 + int(rand() * 9); for (j = 0; j < n; j++) w = w sprintf("%c", 97 + int(rand() * 12));
  r = ""; for (j = n; j > 0; j--) r = r substr(w, j, 1); printf "{\"prompt\": \"%s\", \"response\": \"%s\"}\n", w, r > (i < 32 ? "eval.jsonl" : "train.jsonl");
  printf "{\"text\": \"%s %s\"}\n", w, r > "text.jsonl" } }'
cat >run.yaml <<'END'
name: lost-rank
base:
  architecture: {llama: {hidden_size: 32, intermediate_size: 64, num_layers: 4, num_heads: 4, vocab_size: 288, max_positions: 64}}
  tokenizer: {train: {vocab_size: 280}}
  pretrain: {data: text.jsonl, train: {steps: 4, learning_rate: 3e-3, batch: {tokens: 256}}}
data:
  train: train.jsonl
  eval: [{name: held_out, path: eval.jsonl}]
  max_length: 64
trial:
  stages:
    - train: {method: full, steps: 160, learning_rate: 1e-3, batch: {examples: 8}, micro_batch_tokens: 64, save_every: 8}
    - evaluate: {metrics: [loss]}
mesh: {data: 1, shard: 2, pipeline: 2, zero: 3}
resources: {ranks_per_gang: 4, threads_per_rank: 1}
END

failures=0
fail() {
  echo "FAILED: $*" >&2
  failures=$((failures + 1))
}
start() {  # start OUTPUT ARGUMENT...: in the background; its process in $job
  local out=$1
  shift
  mpirun -n 4 "$bin/finescale-worker" --run run.yaml --json --set output="$out" "$@" >"$out.json" 2>"$out.log" &
  job=$!
}
rank_of() {  # rank_of RANK: its process, a child of the job
  local pid
  for pid in $(pgrep -P "$job"); do
    if tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -qx "OMPI_COMM_WORLD_RANK=$1"; then
      echo "$pid"
    fi
  done
}
# Until the training stage has saved: all ranks are in the middle of it.
wait_for_save() {  # wait_for_save OUTPUT
  local i
  for i in $(seq 300); do
    compgen -G "$1/attempts/*/step-*8.h5" >/dev/null && return
    sleep 0.1
  done
  fail "$1: no checkpoint was saved"
}
seconds_to_end() {  # seconds_to_end NAME LIMIT: of the job, after what was done to it
  local begin=$SECONDS left_over=0
  while kill -0 "$job" 2>/dev/null && [ $((SECONDS - begin)) -le "$2" ]; do
    sleep 0.1
    # Open MPI 4.1's mpirun may wait for itself for ever when its ranks are gone.
    case $(ps -o stat= --ppid "$job" | cut -c1 | sort -u) in Z) left_over=$((left_over + 1)) ;; *) left_over=0 ;; esac
    [ $left_over -le 50 ] || kill -9 "$job"
  done
  if kill -0 "$job" 2>/dev/null; then
    fail "$1: the job still runs after $2 s"
    kill -9 "$job"
  fi
  wait "$job"
  code=$?
  echo "$1: exit code $code after $((SECONDS - begin)) s"
  [ $code -ne 0 ] || fail "$1: exit code 0"
}

start plain --trace timeline.json
wait "$job" || { cat plain.log >&2; exit 1; }
grep -o 'communication: .*' plain.log || fail "no share of time in communication"
python3 - timeline.json <<'END' || fail "the timeline"
import collections, json, sys
events = json.load(open(sys.argv[1]))["traceEvents"]
spans = collections.defaultdict(set)
for event in events:
    if event["ph"] == "X":
        spans[event["name"]].add(event["pid"])
for name in ["step", "optimizer", "snapshot", "checkpoint"]:
    assert spans[name] == {0, 1, 2, 3}, (name, spans[name])
for name, ranks in [("forward, piece 0", {0, 1}), ("backward, piece 0", {0, 1}), ("forward, piece 1", {2, 3}), ("backward, piece 1", {2, 3})]:
    assert spans[name] == ranks, (name, spans[name])
assert any(event.get("args", {}).get("group") == "pipeline" for event in events)
END

start stopped --set resources.hang_timeout=4
wait_for_save stopped
victim=$(rank_of 2)
kill -STOP "$victim"
# 4 s of hang and 5 s for an answer that does not come, then mpirun's own end of the job.
seconds_to_end "rank 2 stopped" 20
grep -q 'rank 2' stopped.log || { fail "no message names rank 2"; cat stopped.log >&2; }
grep -m1 'rank 2' stopped.log
kill -9 "$victim" 2>/dev/null

start killed
wait_for_save killed
kill -9 "$(rank_of 3)"
seconds_to_end "rank 3 killed" 10
start killed --resume
wait "$job" || { fail "resume after a killed rank"; cat killed.log >&2; }
grep -q 'continues from step' killed.log || fail "the resumed run began anew"
# Memory is not a number of the run: pages that were touched differ.
numbers() { python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); [s.pop("memory", None) for s in d.values()]; print(json.dumps(d))' "$1"; }
cmp <(numbers plain.json) <(numbers killed.json) || fail "the resumed run has other numbers"
# The hashes of all blocks of all tensors: the same bits.
if command -v h5dump >/dev/null; then
  hashes() { h5dump -d /hashes/blocks "$1" | tail -n +2; }
  for file in plain/artifacts/*/checkpoint.h5; do
    [ "$(hashes "$file" | wc -l)" -gt 9 ] || fail "$file has no hashes"
    cmp <(hashes "$file") <(hashes "killed/${file#plain/}") || fail "$file has other weights after the resume"
  done
else
  echo "skipped: weights are not compared without h5dump" >&2
fi
echo "$failures failures"
[ $failures -eq 0 ]
