#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Meshes through `finescale run` and `finescale-worker --run`: shard (ZeRO-3) and pipeline give one rank's campaign byte for byte,
# tensor its own on every repeat; a limit that one rank breaks is kept by the mesh that `mesh: auto` chooses and by ZeRO-3, as
# measured. With the optimizer's state on disk one rank stays below its limit too.
#   mesh_sweep.sh BIN_DIR WORK_DIR
set -uo pipefail
bin=$(cd "$1" && pwd)
finescale=$bin/finescale
work=$2
rm -rf "$work"
mkdir -p "$work"
cd "$work" || exit 1
export OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
failures=0
fail() { echo "mesh_sweep: FAILED: $*"; failures=$((failures + 1)); }
must() { "$@" >last.log 2>&1 || { fail "$*"; tail -20 last.log; }; }

"$finescale" init s 2>/dev/null || exit 1
cat >s/sweep.yaml <<'YAML'
name: meshes
base:
  architecture: {llama: {hidden_size: 64, intermediate_size: 128, num_layers: 4, num_heads: 4, num_kv_heads: 2, vocab_size: 512, max_positions: 128}}
  tokenizer: {train: {vocab_size: 400}}
  pretrain: {data: data/text.jsonl, train: {steps: 4, learning_rate: 3e-3, batch: {tokens: 512}, micro_batch_tokens: 128}}
data:
  train: data/train.jsonl
  eval: [{name: held_out, path: data/eval.jsonl}]
  max_length: 64
trial:
  stages:
    - train: {method: full, steps: 4, learning_rate: 1e-3, batch: {examples: 12}, micro_batch_tokens: 64, eval_every: 2}
    - evaluate: {metrics: [loss, exact_match], limit: 8, max_new_tokens: 8, samples: 2}
axes:
  train.method: [full, {lora: {rank: 4}}]
resources: {threads_per_rank: 1}
YAML
run() { "$finescale" run s/sweep.yaml --set output="$1" --set mesh="$2" --set resources.ranks_per_gang="$3" "${@:4}"; }
rows() { "$finescale" results "$1" --json --canonical; }

must run one '{data: 1}' 1
for case in 'shard|{shard: 2, zero: 3}|2' 'pipeline|{pipeline: 2}|2' 'interleaved|{pipeline: 2, interleave: 2, recompute: full}|2'; do
  IFS='|' read -r name mesh ranks <<<"$case"
  must run "$name" "$mesh" "$ranks"
  [ "$(rows one)" = "$(rows "$name")" ] || { fail "$mesh differs from one rank"; diff <(rows one) <(rows "$name") | head -5; }
done
must run tensor '{tensor: 2}' 2
must run again '{tensor: 2, shard: 2, zero: 2}' 4
[ "$(rows tensor)" = "$(rows again)" ] || fail "tensor 2 differs between shards"
rows tensor | grep -q exact_match || fail "no exact_match with tensor 2"

# Without a coordinator.
single() {
  sed -e '/^axes:/,/^  train.method:/d' s/sweep.yaml >s/single.yaml
  mpirun --oversubscribe -n "$3" "$bin/finescale-worker" --run s/single.yaml --json --set output="$1" --set mesh="$2" \
    --set resources.ranks_per_gang="$3" "${@:4}" 2>"$1.log" || { fail "--run $2"; tail -5 "$1.log" >&2; }
}
metrics() { python3 -c 'import json, sys; print({k: v.get("metrics") for k, v in json.load(open(sys.argv[1])).items()})' "$1"; }
single run-one '{data: 1}' 1 >run-one.json
single run-pipeline '{pipeline: 2}' 2 >run-pipeline.json
[ "$(metrics run-one.json)" = "$(metrics run-pipeline.json)" ] || fail "--run on pipeline 2 differs"

# A limit that one rank breaks. `auto` picks what fits; what its ranks really used stays below.
limit() { python3 - "$1" <<'PY'
import json, sys
rows = json.load(open(sys.argv[1]))["train"]["memory"]
print(max(r["resident"] for r in rows))
PY
}
large=(--set base.architecture.llama.hidden_size=256 --set base.architecture.llama.intermediate_size=1024
  --set base.architecture.llama.num_layers=12 --set base.architecture.llama.vocab_size=4096)
single over '{data: 1}' 1 "${large[@]}" >over.json
used=$(limit over.json)
bound=$((used * 7 / 10))
mpirun -n 1 "$bin/finescale-worker" --run s/single.yaml --set output=refused --set resources.memory_per_rank=$bound "${large[@]}" >last.log 2>&1
[ $? -eq 2 ] && grep -q 'no mesh of 1 rank' last.log || { fail "one rank was not refused"; cat last.log; }
[ ! -e refused ] || fail "a refused run left something"
single auto auto 4 --set resources.memory_per_rank=$bound "${large[@]}" >auto.json
[ "$(limit auto.json)" -le $bound ] || fail "auto used $(limit auto.json) of $bound bytes"
[ "$(metrics over.json)" = "$(metrics auto.json)" ] || fail "auto differs from one rank"
single zero3 '{shard: 4, zero: 3}' 4 --set resources.memory_per_rank=$bound "${large[@]}" >zero3.json
[ "$(limit zero3.json)" -le $bound ] || fail "ZeRO-3 used $(limit zero3.json) of $bound bytes"
[ "$(metrics over.json)" = "$(metrics zero3.json)" ] || fail "ZeRO-3 differs from one rank"
must "$finescale" run s/single.yaml --set output=coordinated --set mesh=auto --set resources.ranks_per_gang=4 \
  --set resources.memory_per_rank=$bound "${large[@]}"

# The optimizer's state on disk: the same run in less memory; `auto` takes it where one rank has nothing else.
disk=-
if [ "$(stat -f -c %T .)" != tmpfs ]; then
  single disk "{offload: disk, scratch: $work}" 1 "${large[@]}" >disk.json
  disk=$(limit disk.json)
  [ "$disk" -le $((used - (48 << 20))) ] || fail "with its state on disk one rank used $disk of $used bytes"
  [ "$(metrics over.json)" = "$(metrics disk.json)" ] || fail "offload: disk differs from memory"
  single last "{choice: auto, scratch: $work}" 1 --set resources.memory_per_rank=$((disk * 11 / 10)) "${large[@]}" >last.json
  grep -q 'offload: disk' last.log || { fail "auto did not take the disk"; tail -20 last.log; }
  [ "$(metrics over.json)" = "$(metrics last.json)" ] || fail "auto with offload: disk differs from memory"
fi

# The table for people: at most 100 columns, but for lines that name a file, which are as long as its path.
"$finescale" plan s/single.yaml --set mesh=auto --set resources.ranks_per_gang=4 --set resources.memory_per_rank=$bound "${large[@]}" >plan.txt 2>&1
grep -q -- '-> ' plan.txt || { fail "no mesh chosen in the table"; cat plan.txt; }
wide=$(grep -v '\.jsonl: ' plan.txt | awk 'length > 100')
[ -z "$wide" ] || fail "wider than 100 columns: $wide"
[ $failures -eq 0 ] && echo "mesh_sweep: one rank used $used bytes, $bound allowed, auto $(limit auto.json), ZeRO-3 $(limit zero3.json), disk $disk"
exit $failures
