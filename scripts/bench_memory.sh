#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Memory of a rank: what the planner predicts, what the engine's buffers hold, and the process's largest resident set, for meshes
# of the SmolLM2-135M shape. Usage: scripts/bench_memory.sh [BIN_DIR] [MESH...]; needs 10 GB and about ten minutes on two cores.
set -euo pipefail
bin=$(cd "${1:-build/bin}" && pwd)
shift || true
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
meshes=("$@")
if [ ${#meshes[@]} -eq 0 ]; then
  meshes=('data: 1' 'data: 2' 'shard: 4, zero: 1' 'shard: 4, zero: 3' 'pipeline: 2, shard: 2, zero: 2'
    'tensor: 3, shard: 2, zero: 3, recompute: full' 'data: 1, offload: disk')
fi
python3 - "$work" <<'PY'
import json, random, sys
random.seed(1)
text = lambda n: "".join(random.choice("abcdefghij") for _ in range(n))
with open(sys.argv[1] + "/text.jsonl", "w") as out:
    for _ in range(64):
        out.write(json.dumps({"text": text(30)}) + "\n")
with open(sys.argv[1] + "/train.jsonl", "w") as out:
    for _ in range(16):
        out.write(json.dumps({"prompt": text(60), "response": text(66)}) + "\n")
with open(sys.argv[1] + "/eval.jsonl", "w") as out:
    out.write(json.dumps({"prompt": text(20), "response": text(20)}) + "\n")
PY
for mesh in "${meshes[@]}"; do
  ranks=1
  for size in $(grep -oE '(data|shard|tensor|pipeline): [0-9]+' <<<"$mesh" | grep -oE '[0-9]+'); do ranks=$((ranks * size)); done
  cat >"$work/run.yaml" <<YAML
name: memory
base:
  preset: smollm2-135m
  tokenizer: {train: {vocab_size: 280}}
  pretrain: {data: text.jsonl, train: {steps: 1, learning_rate: 1e-4, batch: {examples: 1}, micro_batch_tokens: 64}}
data: {train: train.jsonl, eval: [{name: held_out, path: eval.jsonl}]}
trial:
  stages:
    - train: {method: full, steps: 2, learning_rate: 1e-4, batch: {examples: 8}, micro_batch_tokens: 256}
mesh: {$mesh}
resources: {ranks_per_gang: $ranks, threads_per_rank: 1}
output: $work/out
YAML
  rm -rf "$work/out"
  (cd "$work" && "$bin/finescale" plan run.yaml --json >plan.json &&
    mpirun --oversubscribe -n "$ranks" "$bin/finescale-worker" --run run.yaml --json >result.json 2>log) || { cat "$work/log"; exit 1; }
  python3 - "$work" "$mesh" <<'PY'
import json, sys
work, mesh = sys.argv[1:]
plan = json.load(open(work + "/plan.json"))
rows = plan["meshes"] if "meshes" in plan else plan["mesh"]["rows"]
want = rows[0]["memory"]
got = max(json.load(open(work + "/result.json"))["train"]["memory"], key=lambda m: m["resident"])
want["activations"] += want.pop("logits")
base = want.pop("base")
want.pop("snapshot")  # nothing is saved within these two steps
mib = lambda b: b / 2**20
sums = sum(want.values()), sum(got[k] for k in want)
print(f"| {mesh} | {mib(sums[0]):.0f} | {mib(sums[1]):.0f} | {sums[0] / sums[1] - 1:+.1%} | {mib(sums[0] + base):.0f} | "
      f"{mib(got['resident']):.0f} | {(sums[0] + base) / got['resident'] - 1:+.1%} | "
      + ", ".join(f"{k} {mib(want[k]):.0f}/{mib(got[k]):.0f}" for k in want) + f", base {mib(base):.0f} | ")
PY
done
