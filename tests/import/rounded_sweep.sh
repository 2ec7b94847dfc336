#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A campaign whose trainings multiply in bf16, from plan to the files of other programs: beside its f32 twin, on two ranks.
#   rounded_sweep.sh BIN_DIR WORK_DIR
set -uo pipefail
. "$(dirname "$0")/../faults/harness.sh"
begin_test rounded_sweep "$1" "$2"
export OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
must() { "$@" >last.log 2>&1 || { fail "$* (exit $?)"; tail -20 last.log; }; }

cat >sweep.yaml <<YAML
name: rounded
base:
  preset: tiny
  tokenizer: {train: {vocab_size: 300}}
  pretrain:
    data: {task: {chain: {operations: 2, modulus: 7}, examples: 200}}
    train: {steps: 20, learning_rate: 3e-3, batch: {examples: 16}}
data:
  train: {task: {chain: {operations: 2, modulus: 7}, examples: 200}}
  eval: [{name: held_out, task: {chain: {operations: 2, modulus: 7}, examples: 40}}]
trial:
  stages:
    - train: {steps: 20, learning_rate: 1e-3, batch: {examples: 16}, data_budget: 200}
    - evaluate: {metrics: [loss, accuracy], max_new_tokens: 24}
axes:
  train.precision: [f32, bf16]
  train.method: [full, {lora: {rank: 4}}]
resources: {gangs: 2, ranks_per_gang: 2}
output: out
YAML
must "$finescale" run sweep.yaml
must "$finescale" audit out
"$finescale" results out --json >results.json || fail "results"
# Rounding shows, and does little.
python3 - <<'PYTHON' || fail "losses"
import json, sys
loss = {(row["axes"]["train.method"][:5], row["axes"]["train.precision"]): row["metrics"]["held_out.loss"]
        for row in json.load(open("results.json"))}
assert len(loss) == 4, loss
for (method, precision), value in loss.items():
    if precision == "bf16":
        exact = loss[method, "f32"]
        assert 0 < abs(value - exact) < 1e-2 * exact, (method, value, exact)
PYTHON
trial() { python3 -c '
import json, sys
print(*(row["trial"] for row in json.load(open("results.json"))
        if sys.argv[1] in row["axes"]["train.method"] and row["axes"]["train.precision"] == "bf16"))' "$1"; }
score() { "$finescale" score "$1" --data data.jsonl --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["loss"])'; }
echo '{"prompt": "(3 + 4) % 7 =", "response": " 0"}' >data.jsonl
full=$(trial full) lora=$(trial lora)
must "$finescale" export "out:$full" --to full --format hf
must "$finescale" export "out:$lora" --to merged --format hf --merge
must "$finescale" export "out:$lora" --to adapter --format peft
must "$finescale" export "out:$full" --to full.gguf --format gguf
[ "$(score "out:$full")" = "$(score full)" ] || fail "the export of a full training has another loss"
python3 -c 'import sys; a, b = map(float, sys.argv[1:]); sys.exit(not abs(a - b) < 1e-5 * abs(a))' "$(score "out:$lora")" "$(score merged)" ||
  fail "the merged adapter has another loss"
[ -s adapter/adapter_model.safetensors ] || fail "no adapter"
must "$finescale" generate full.gguf --prompt "(3 + 4) % 7 =" --max-new 4
end_test
