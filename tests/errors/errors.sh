#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The errors a user makes, with the real programs: exit code, what the message says, and that nothing that was there is lost.
#   errors.sh BIN_DIR WORK_DIR [--markdown]     --markdown prints docs/errors.md on standard output
set -uo pipefail
bin=$(cd "$1" && pwd)
script=$(realpath "$0")
work=$2
markdown=${3:-}
finescale=$bin/finescale
rm -rf "$work"
mkdir -p "$work"
cd "$work" || exit 1
"$finescale" init s >/dev/null || exit 1
# Small enough to be run many times.
sed -i -e 's/steps: 150/steps: 10/' -e 's/to: 1600, points: 6/to: 100, points: 2/' -e 's/data_budget: 400/data_budget: 50/g' -e '/^tune:/,/^$/d' s/sweep.yaml
failures=0
[ -z "$markdown" ] || cat <<'END'
# Errors: what is said, and the exit code

Made by `tests/errors/errors.sh build/bin WORK --markdown`, which also checks each of them. Codes: 1 some trial failed, 2 the
input is wrong and nothing was changed, 3 something is missing on this machine, 4 a defect of finescale.

END

# expect NAME CODE 'text of the message' COMMAND...
expect() {
  local name=$1 code=$2 wanted=$3 output status problem=
  shift 3
  output=$("$@" 2>&1)
  status=$?
  [ "$status" -eq "$code" ] || problem="exit code $status instead of $code"
  case $output in *"$wanted"*) ;; *) problem="${problem:+$problem, }the message lacks '$wanted'" ;; esac
  output=$(echo "$output" | sed -e "s#$work/##g" -e "s#$work##g" | grep -vE '^(trials [0-9]|t(une-)?[0-9]+ .* done|report:|.* trials, .* stages|.* from JSONL$)' | tail -8)
  if [ -n "$markdown" ]; then
    printf '**%s** (exit code %s)\n\n```\n%s\n```\n\n' "$name" "$status" "$output"
  else
    printf '%-44s %s  %s\n' "$name" "$status" "$(echo "$output" | head -3 | tr '\n' ' ')"
  fi
  if [ -n "$problem" ]; then
    echo "FAILED: $name: $problem" >&2
    echo "$output" >&2
    failures=$((failures + 1))
  fi
}
# sweep NAME SED...: a sweep file made from the good one
sweep() {
  local name=$1
  shift
  sed "$@" s/sweep.yaml >"s/$name.yaml"
}

sweep key 's/preset: tiny/presett: tiny/'
expect "unknown key" 2 'key.yaml:6:3: unknown key base.presett, did you mean preset?' "$finescale" run s/key.yaml --set output=key
sweep type 's/epochs: 4/epochs: four/'
expect "wrong type" 2 'train.epochs is "four", must be a number' "$finescale" run s/type.yaml --set output=type
sweep range 's/rank: 8/rank: 0/'
expect "out of range" 2 'train.method.lora.rank is 0, must be >= 1' "$finescale" run s/range.yaml --set output=range
sweep preset 's/preset: tiny/preset: tny/'
expect "unknown preset" 2 'tiny' "$finescale" run s/preset.yaml --set output=preset
expect "missing sweep file" 2 'none.yaml: cannot read' "$finescale" run s/none.yaml
expect "unknown flag" 2 '--sett' "$finescale" run s/sweep.yaml --sett a=b
expect "unknown command" 2 'no command ruun, did you mean run?' "$finescale" ruun s/sweep.yaml
expect "override of a field that is not there" 2 'train.rate' "$finescale" run s/sweep.yaml --set train.rate=1 --set output=field
sweep missing 's#data/train.jsonl#data/none.jsonl#'
expect "missing data file" 2 'data/none.jsonl does not exist' "$finescale" run s/missing.yaml --set output=missing
(head -5 s/data/train.jsonl; echo '{"prompt": "a", "respond": "b"}'; tail -n +6 s/data/train.jsonl) >s/data/bad.jsonl
sweep bad 's#data/train.jsonl#data/bad.jsonl#'
expect "bad JSONL line" 2 'bad.jsonl:6: "response" is missing' "$finescale" run s/bad.yaml --set output=bad
(head -5 s/data/train.jsonl; echo '{"prompt": "a", '; tail -n +6 s/data/train.jsonl) >s/data/broken.jsonl
sweep broken 's#data/train.jsonl#data/broken.jsonl#'
expect "line that is not JSON" 2 'broken.jsonl:6: not valid JSON' "$finescale" run s/broken.yaml --set output=broken
printf 'prompt,response\na,b\n"c,d\n' >s/data/open.csv
sweep csv 's#data/train.jsonl#data/open.csv#'
expect "CSV field that is not closed" 2 'open.csv:3: a quoted field has no closing quote' "$finescale" run s/csv.yaml --set output=csv
printf 'question,answer\na,b\n' >s/data/names.csv
sweep names 's#data/train.jsonl#data/names.csv#'
expect "CSV with other columns" 2 'names.csv:1: the columns are question, answer' "$finescale" run s/names.yaml --set output=names
printf 'quest\377ion,answer\na,b\n' >s/data/bytes.csv
sweep bytes 's#data/train.jsonl#data/bytes.csv#'
expect "CSV with column names that are no UTF-8" 2 'bytes.csv:1: the columns are quest' "$finescale" run s/bytes.yaml --set output=bytes
printf '[{"text": "a"}, {"txt": "b"}]' >s/data/list.json
sweep list 's#data/train.jsonl#data/list.json#'
expect "JSON list with a wrong element" 2 'list.json:element 2: "prompt" is missing' "$finescale" run s/list.yaml --set output=list
printf '{"text": "a"}\n{"text": "b"}\n' >s/data/few.json
sweep few 's#data/train.jsonl#data/few.json#'
expect "budget above a pool that is no JSONL" 2 'but data.train has 2 examples' "$finescale" run s/few.yaml --set output=few
cp s/data/train.jsonl s/data/train.parquet
sweep parquet 's#data/train.jsonl#data/train.parquet#'
expect "Parquet without Arrow" 3 'this build has no Apache Arrow' "$finescale" run s/parquet.yaml --set output=parquet
sweep gpu 's/^resources: {/resources: {device: cuda, /'
expect "a GPU where there is none" 3 'ended before their first call: the gang exited with code 3: rank 0: error: ' \
  env CUDA_VISIBLE_DEVICES= "$finescale" run s/gpu.yaml --set output=gpu
echo '{% for m in messages %}{{ m.content }' >s/chat.jinja
sed 's/{"prompt": \(".*"\), "response": \(".*"\)}/{"messages": [{"role": "user", "content": \1}, {"role": "assistant", "content": \2}]}/' s/data/train.jsonl >s/data/chats.jsonl
sweep template -e 's#^data:#data:\n  chat_template: chat.jinja#' -e 's#data/train.jsonl#data/chats.jsonl#'
expect "chat template that cannot be parsed" 2 'chat.jinja:1: chat template:' "$finescale" plan s/template.yaml
corpus=$(cd "$(dirname "$script")/../fuzz/corpus" && pwd)
cp "$corpus/sweep_yaml/aliases" s/aliases.yaml
expect "aliases that say more than memory holds" 2 'the values are too many: more than 16 MiB' "$finescale" plan s/aliases.yaml
# Models whose files are damaged: what was read, where in the file, which field.
mkdir model
cp "$corpus/model_config/llama" model/config.json
cp "$corpus/tokenizer_json/00" model/tokenizer.json
# weights NAME TEXT FILE [BYTES]: the model with this model.safetensors, or the beginning of it
weights() {
  head -c "${4:-99999}" "$3" >model/model.safetensors
  expect "$1" 2 "model.safetensors: $2" "$finescale" import model --to damaged
}
weights "safetensors that is cut in the header" 'byte 0, header length: ' "$corpus/safetensors/types" 100
weights "safetensors that is cut in the data" 'byte 178, c.data_offsets: the end 24 lies behind' "$corpus/safetensors/types" 450
weights "safetensors with an impossible length" 'byte 0, header length: ' "$corpus/safetensors/long_header"
weights "safetensors with a tensor above all memory" 'byte 15, a.shape: ' "$corpus/safetensors/oversized"
weights "safetensors whose tensors overlap" 'byte 76, b.data_offsets: an overlap' "$corpus/safetensors/overlap"
weights "safetensors with a field of another type" 'byte 25, a.dtype: a list, must be a text' "$corpus/safetensors/confused"
# gguf NAME TEXT FILE [BYTES]
gguf() {
  head -c "${4:-99999}" "$3" >m.gguf
  expect "$1" 2 "m.gguf: $2" "$finescale" import m.gguf --to damaged
}
gguf "GGUF that is cut in the header" 'byte 695: metadata key 13: gguf: key needs 21 bytes' "$corpus/gguf/bpe" 700
gguf "GGUF that is cut in the data" 'byte 1426: tensor blk.0.ffn_down.weight: gguf: offset 672 and 128 bytes reach beyond the end' "$corpus/gguf/bpe" 2300
gguf "GGUF with an impossible count" 'byte 8: tensor count' "$corpus/gguf/counts"
gguf "GGUF with a tensor above all memory" 'byte 1126: tensor output.weight: gguf: shape [1048576, 1099511627776]' "$corpus/gguf/oversized"
gguf "GGUF whose tensors overlap" 'byte 1130: tensor output.weight: gguf: its bytes overlap' "$corpus/gguf/overlap"
gguf "GGUF with a key of another type" 'byte 101: llama.context_length: gguf: the value is of type STRING' "$corpus/gguf/confused"
cp "$corpus/gguf/layers" m.gguf
expect "GGUF with two thousand million layers" 2 'num_layers is 2147483647, must be at most 10000' "$finescale" import m.gguf --to damaged
cp "$corpus/model_config/layers" model/config.json
expect "config.json with too many layers" 2 'model/config.json: num_layers is 200000000' "$finescale" import model --to damaged
head -c 100000 /dev/zero | tr '\0' '[' >model/config.json
expect "config.json of nothing but brackets" 2 'nested too deep, more than 200 in each other' "$finescale" import model --to damaged
: >s/data/empty.jsonl
sweep empty 's#data/train.jsonl#data/empty.jsonl#'
expect "empty data" 2 'data.train has 0 examples' "$finescale" run s/empty.yaml --set output=empty
sweep budget 's/to: 100, points: 2/to: 999999, points: 2/'
expect "budget above the pool" 2 'data_budget is 999999, but data.train has' "$finescale" run s/budget.yaml --set output=budget
sweep pairs 's/train: {method: full,/train: {method: full, objective: dpo,/'
expect "preferences that are none" 2 'train.objective learns from pairs, and its data are none' "$finescale" run s/pairs.yaml --set output=pairs
sweep choice 's/^  stages:/  stages:\n    - score: {}\n    - select: {random: 999999}/'
expect "a choice above its pool" 2 'select.random.examples is 999999, but its input has at most' "$finescale" run s/choice.yaml --set output=choice
sweep tasks 's#train: data/train.jsonl#train: {task: {recall: {pairs: 1, values: 2}, examples: 1000}}#'
expect "task with fewer problems than examples" 2 'data.train.task.examples: task recall has about' "$finescale" run s/tasks.yaml --set output=tasks
# A mesh that the model or the ranks forbid: refused when it is planned, with the numbers and the nearest legal mesh.
# mesh NAME CODE-TEXT MESH RANKS [SET...]
mesh() {
  local name=$1 wanted=$2 mesh=$3 ranks=$4
  shift 4
  expect "$name" 2 "$wanted" "$finescale" plan s/sweep.yaml --set mesh="$mesh" --set resources.ranks_per_gang="$ranks" --set output=mesh "$@"
}
mesh "tensor that does not divide the heads" 'attention heads: use' '{tensor: 3}' 3
mesh "tensor that does not divide the key/value heads" 'key/value heads' '{tensor: 2}' 2 --set base.architecture='{llama: {num_heads: 6, num_kv_heads: 3, hidden_size: 48}}'
mesh "tensor that does not divide the feed-forward width" 'intermediate_size is 130' '{tensor: 4}' 4 --set base.architecture='{llama: {intermediate_size: 130}}'
mesh "tensor that does not divide the vocabulary" "vocab_size is 511" '{tensor: 2}' 2 --set base.architecture='{llama: {vocab_size: 511}}'
mesh "more pipeline ranks than layers" 'layers: use at most' '{pipeline: 16}' 16
mesh "more pieces than layers" 'mesh.interleave is 8 on pipeline 2' '{pipeline: 2, interleave: 8}' 2
mesh "pieces without a pipeline" 'mesh.interleave is 2, but mesh.pipeline is 1' '{data: 2, interleave: 2}' 2
mesh "ZeRO without shards" 'mesh.zero is 3, but mesh.shard is 1' '{data: 2, zero: 3}' 2
mesh "ranks that are not those of the mesh" 'must equal the ranks of the mesh (4)' '{data: 4}' 6
expect "mesh that cannot run" 2 'nearest mesh of 3 ranks' "$finescale" run s/sweep.yaml --set mesh='{tensor: 3}' --set resources.ranks_per_gang=3 --set output=mesh
expect "no mesh fits" 2 'no mesh of 2 ranks fits' "$finescale" run s/sweep.yaml --set mesh=auto --set resources.ranks_per_gang=2 \
  --set resources.memory_per_rank=1MiB --set output=mesh
for made in damaged mesh key type range preset field missing bad broken csv names bytes list few parquet empty budget; do
  if [ -e "$made" ]; then
    echo "FAILED: a refused sweep left $made behind" >&2
    failures=$((failures + 1))
  fi
done

# A loss that is not finite is an outcome: that trial fails, the others finish.
sweep nan 's/{lora: {rank: 8}}/{lora: {rank: 8, alpha: 1e38}}/'
expect "loss is not finite" 1 'not finite at step' "$finescale" run s/nan.yaml --set output=nan
expect "what became of the trials" 0 'done 4 failed 4' "$finescale" status nan
expect "the books of that sweep" 0 'ok' "$finescale" audit nan

# An existing directory with another sweep is refused and stays as it is.
"$finescale" run s/sweep.yaml --set output=kept >/dev/null 2>&1
before=$("$finescale" results kept --json --canonical)
expect "directory of another sweep" 2 'the directory holds another sweep' "$finescale" run s/sweep.yaml --set output=kept --set seed=7
if [ "$before" != "$("$finescale" results kept --json --canonical)" ]; then
  echo "FAILED: a refused sweep changed the campaign" >&2
  failures=$((failures + 1))
fi
sweep grown 's/seed: \[1, 2\]/seed: [1, 2, 3]/'
expect "sweep that has grown" 2 '--extend adds these trials' "$finescale" run s/grown.yaml --set output=kept
sweep shrunk 's/seed: \[1, 2\]/seed: [2, 3]/'
expect "extension that removes a value" 2 '- axes.seed: 1' "$finescale" run s/shrunk.yaml --set output=kept --extend
expect "extension that alters a field" 2 'data.max_length: 63' "$finescale" run s/grown.yaml --set output=kept --set data.max_length=63 --extend
sweep newaxis 's/^  seed: .*/&\n  train.weight_decay: [0.1, 0.2]/'
expect "new axis without the value that was run" 2 'train.weight_decay=0' "$finescale" run s/newaxis.yaml --set output=kept --extend
cp s/data/eval.jsonl eval.saved
tail -n +2 eval.saved >s/data/eval.jsonl
expect "data that changed under a campaign" 2 'eval.jsonl: the file is not what it was' "$finescale" run s/sweep.yaml --set output=kept
cp eval.saved s/data/eval.jsonl
if [ "$before" != "$("$finescale" results kept --json --canonical)" ] || ! "$finescale" audit kept >/dev/null; then
  echo "FAILED: a refused extension changed the campaign" >&2
  failures=$((failures + 1))
fi
expect "directory without a campaign" 2 'no campaign is here' "$finescale" results s
expect "retry where no campaign is" 2 'no campaign is here' "$finescale" retry s
expect "stop of a campaign that does not run" 2 'there is nothing to stop' "$finescale" stop kept
expect "error as JSON" 2 '"message": "no campaign is here"' sh -c "'$finescale' results s --json 2>/dev/null"
expect "wrong flag as JSON" 2 '"kind": "config"' sh -c "'$finescale' results kept --json --cannonical 2>/dev/null"

# Tools that need nothing else may still be found.
mkdir -p path
for program in env sed cat; do ln -sf "$(command -v $program)" path/; done
expect "no mpirun" 3 'mpirun is not on PATH' env PATH="$work/path" "$finescale" run s/sweep.yaml --set output=nompi
expect "a pool without Slurm" 3 'sbatch is not on PATH' env PATH="$work/path" "$finescale" run s/sweep.yaml --set output=nopool --set resources.launcher='{pool: {}}'
expect "jobs that are not the gangs" 2 'launcher.pool.max_jobs is 7' "$finescale" run s/sweep.yaml --set output=nopool --set resources.launcher='{pool: {max_jobs: 7}}'
expect "a pool as a job" 2 'makes one job of a sweep' "$finescale" submit s/sweep.yaml --dry-run --set output=nopool --set resources.launcher='{pool: {}}'
expect "an interface that is none" 2 '"nosuch0" is no address' "$finescale" run s/sweep.yaml --set output=noface --set resources.interface=nosuch0
expect "an address of another machine" 2 'cannot listen on 192.0.2.1' "$finescale" run s/sweep.yaml --set output=noface --set resources.interface=192.0.2.1

# A file system that cannot be written, and one that is full: in a mount namespace of our own, which is gone with its process.
if unshare -m true 2>/dev/null; then
  mkdir -p readonly full
  expect "read-only output" 3 'Read-only file system' unshare -m sh -c "mount --bind readonly readonly && mount -o remount,ro,bind readonly && exec '$finescale' run s/sweep.yaml --set output=readonly/out"
  # The campaign is on a disk of 1 MiB. With room again, retry and the same command finish it; a gang that lived through the
  # full disk may report its old failure once more.
  cat >full.sh <<'END'
mount -t tmpfs -o size=1m none full
run="$1 run s/sweep.yaml --set output=full/out"
$run
code=$?
echo "exit code $code"
[ $code -eq 1 ] || [ $code -eq 3 ] || exit 9
mount -o remount,size=64m full
for round in 1 2 3; do
  "$1" retry full/out
  $run && break
done
"$1" audit full/out && "$1" status full/out | grep -q 'done 8 failed 0'
END
  expect "full disk, then room again" 0 'o space left on device' unshare -m sh full.sh "$finescale"
else
  echo "skipped: read-only output and full disk need permission for mount namespaces" >&2
fi
[ -n "$markdown" ] || echo "$failures failures"
[ $failures -eq 0 ]
