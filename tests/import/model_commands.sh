#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Models in and out through the real programs: a trial exported for other programs, that export as the base of a sweep, its
# adapter exported and read back, a checkpoint made of it; the same numbers everywhere, and nothing overwritten.
#   model_commands.sh BIN_DIR WORK_DIR
set -uo pipefail
bin=$(cd "$1" && pwd)
finescale=$bin/finescale
work=$2
rm -rf "$work"
mkdir -p "$work"
cd "$work" || exit 1
export OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
failures=0
fail() { echo "model_commands: FAILED: $*"; failures=$((failures + 1)); }
must() { "$@" >last.log 2>&1 || { fail "$* (exit $?)"; tail -20 last.log; }; }
# refused 'text of the message' COMMAND...: exit code 2
refused() {
  local wanted=$1 output status
  shift
  output=$("$@" 2>&1)
  status=$?
  [ $status -eq 2 ] || fail "exit code $status instead of 2: $*: $output"
  case $output in *"$wanted"*) ;; *) fail "the message of $* lacks '$wanted': $output" ;; esac
}
loss() {
  "$finescale" score "$1" --data s/data/eval.jsonl --json --top 2 | python3 -c 'import json, sys; print(json.load(sys.stdin)["loss"])'
}
# close A B: equal but for rounding
close() {
  python3 -c 'import sys; a, b = map(float, sys.argv[1:]); sys.exit(not abs(a - b) < 1e-5 * abs(a))' "$1" "$2" ||
    fail "$1 and $2 differ: $3"
}
trial() { "$finescale" results "$1" --json | python3 -c '
import json, sys
for row in json.load(sys.stdin):
    if sys.argv[1] in json.dumps(row["axes"]):
        print(row["trial"], row["metrics"]["held_out.loss"])' "$2"; }

"$finescale" init s 2>/dev/null || exit 1
head -40 s/data/eval.jsonl >eval && mv eval s/data/eval.jsonl
data='data: {train: data/train.jsonl, eval: [{name: held_out, path: data/eval.jsonl}], max_length: 64}'
train='steps: 4, learning_rate: 3e-3, batch: {examples: 12}'
cat >s/one.yaml <<YAML
name: one
base:
  architecture: {llama: {hidden_size: 32, intermediate_size: 64, num_layers: 2, num_heads: 4, num_kv_heads: 2, vocab_size: 400,
    max_positions: 64}}
  tokenizer: {train: {vocab_size: 380}}
  pretrain: {data: data/text.jsonl, train: {steps: 4, learning_rate: 3e-3, batch: {tokens: 512}}}
$data
trial: {stages: [{train: {method: full, $train}}, {evaluate: {metrics: [loss]}}]}
resources: {threads_per_rank: 1}
YAML
must "$finescale" run s/one.yaml --set output=one
must "$finescale" export one t0001 --to hf --format hf
for file in config.json tokenizer.json tokenizer_config.json model.safetensors; do [ -s hf/$file ] || fail "no hf/$file"; done
refused 'exists already' "$finescale" export one t0001 --to hf --format hf
refused 'no trial t0009' "$finescale" export one t0009 --to x --format hf
refused 'whole weights, no adapter' "$finescale" export one t0001 --to x --format peft
refused '--format' "$finescale" export one t0001 --to x
read -r _ expected <<<"$(trial one '')"
close "$(loss hf)" "$expected" "the exported model"
close "$(loss one:t0001)" "$expected" "the trial"

# The export is the base of a sweep.
cat >s/two.yaml <<YAML
name: two
base: {model: ../hf}
$data
trial: {stages: [{train: {method: full, $train}}, {evaluate: {metrics: [loss]}}]}
axes: {train.method: [full, {lora: {rank: 4, alpha: 6}}]}
resources: {threads_per_rank: 1}
YAML
must "$finescale" plan s/two.yaml
must "$finescale" run s/two.yaml --set output=two
read -r lora lora_loss <<<"$(trial two lora)"
refused '--merge' "$finescale" export two "$lora" --to x --format hf
must "$finescale" export two "$lora" --to peft --format peft
must "$finescale" export two "$lora" --to merged --format hf --merge --max-file-bytes 20000
must "$finescale" export two "$lora" --to adapter --format hdf5
[ -s merged/model.safetensors.index.json ] || fail "no shards"
for model in "two:$lora" peft merged; do close "$(loss $model)" "$lora_loss" "$model"; done

# A checkpoint of it, and a base with an adapter merged into it.
must "$finescale" import hf --to checkpoint
[ "$(loss checkpoint)" = "$(loss hf)" ] || fail "an import changed the numbers"
must "$finescale" export checkpoint --to again --format hf
cmp -s hf/model.safetensors again/model.safetensors || fail "an export of an import is not the same file"
must "$finescale" run s/two.yaml --set output=three --set base.model="$work/checkpoint"
[ "$(trial three lora)" = "$(trial two lora)" ] || fail "a checkpoint as base differs from its files"
sed -e 's/^name: two/name: four/' -e 's#{model: ../hf}#{model: ../hf, adapter: ../peft}#' \
  -e 's/stages: \[.*/stages: [{evaluate: {metrics: [loss]}}, {train: {method: full, '"$train"'}}]}/' -e '/^axes/d' s/two.yaml >s/four.yaml
must "$finescale" run s/four.yaml --set output=four
read -r _ merged_loss <<<"$(trial four '')"
close "$merged_loss" "$lora_loss" "base.adapter"

# Adapters that are no change of matrices: computed beside the weights, wherever they are read.
cat >s/beside.yaml <<YAML
name: beside
base: {model: ../hf}
data: {train: data/train.jsonl, eval: [{name: held_out, path: data/eval.jsonl}], max_length: 58}
trial: {stages: [{train: {$train}}, {evaluate: {metrics: [loss, exact_match], max_new_tokens: 4}}]}
axes:
  train.method:
    - {bottleneck: {width: 4}}
    - {prompt_tuning: {num_virtual_tokens: 5, prompt_tuning_init: text, prompt_tuning_init_text: a word}}
    - {prefix_tuning: {num_virtual_tokens: 6}}
    - {prefix_tuning: {num_virtual_tokens: 3, prefix_projection: true}}
resources: {threads_per_rank: 1}
YAML
must "$finescale" run s/beside.yaml --set output=beside
for kind in bottleneck prompt_tuning 'num_virtual_tokens: 6' prefix_projection; do
  read -r id its_loss <<<"$(trial beside "$kind")"
  name=${kind/num_virtual_tokens: 6/prefix_tuning}
  close "$(loss "beside:$id")" "$its_loss" "$name"
  must "$finescale" generate "beside:$id" --prompt "a word" --max-new 4
  printf 'a word\n' | "$finescale" chat "beside:$id" --max-new 4 >last.log 2>&1 || fail "chat with $name: $(cat last.log)"
  must "$finescale" export beside "$id" --to "kept-$name" --format hdf5
  close "$(loss "kept-$name")" "$its_loss" "$name as hdf5"
  refused 'cannot be merged' "$finescale" export beside "$id" --to x --format hf --merge
  if [ "$name" = bottleneck ]; then
    refused 'PEFT has no such kind' "$finescale" export beside "$id" --to x --format peft
  else
    must "$finescale" export beside "$id" --to "peft-$name" --format peft
    close "$(loss "peft-$name")" "$its_loss" "$name as PEFT"
    refused 'cannot be merged' "$finescale" plan s/two.yaml --set base.adapter="$work/peft-$name"
  fi
done
refused 's/beside.yaml:8:' "$finescale" plan s/beside.yaml --set data.max_length=60
refused 'mesh.pipeline is 2' "$finescale" plan s/beside.yaml --set mesh.pipeline=2 --set resources.ranks_per_gang=2

# What a user gets wrong.
refused 'does not exist' "$finescale" score none --data s/data/eval.jsonl
refused 'cannot be read' "$finescale" score hf --data none.jsonl
printf '{"ids": [1, 2, 400]}\n' >ids.jsonl
refused 'ids.jsonl:1' "$finescale" score hf --data ids.jsonl
refused 'base.model' "$finescale" plan s/two.yaml --set base.model="$work/s"
refused 'base.adapter' "$finescale" plan s/two.yaml --set base.adapter="$work/hf"
head -c 300 hf/model.safetensors >cut && mkdir broken && cp hf/*.json broken && mv cut broken/model.safetensors
refused 'byte 0, header length' "$finescale" score broken --data s/data/eval.jsonl
for command in plan run; do
  refused 'byte 0, header length' "$finescale" $command s/two.yaml --set base.model="$work/broken" --set output=x
  refused 'has no token <|none|>' "$finescale" $command s/two.yaml --set data.response_end='<|none|>' --set output=x
done
[ ! -e x ] || fail "a refused command left something"
"$finescale" score broken --data s/data/eval.jsonl --json >document 2>/dev/null
python3 -c 'import json; json.load(open("document"))["error"]["where"]' || fail "no error document"
left=$(find . -name '*.partial.*' -o -name '*.tmp.*' | head -3)
[ -z "$left" ] || fail "left behind: $left"
[ $failures -eq 0 ] && echo "model_commands: ok"
exit $failures
