#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A tiny sweep on chats, end to end: what was detected is said, two ranks give the numbers of one, a second run finds its tokens, a
# damaged cache is made again.   messages_sweep.sh BIN_DIR WORK_DIR
set -uo pipefail
bin=$(cd "$1" && pwd)
rm -rf "$2"
mkdir -p "$2"
cd "$2" || exit 1
export OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
failures=0
fail() {
  echo "FAILED: $1" >&2
  failures=$((failures + 1))
}
expect() { case $2 in *"$3"*) ;; *) fail "$1: no '$3' in:"$'\n'"$2" ;; esac; }

# Two turns each; the second asks for the word reversed.
for word in abc bcd cde def efg fgh ghi hij ijk jkl klm lmn mno nop opq pqr; do
  back=$(echo "$word" | rev)
  echo "{\"messages\": [{\"role\": \"user\", \"content\": \"echo $word\"}, {\"role\": \"assistant\", \"content\": \"$word\"}, {\"role\": \"user\", \"content\": \"back\"}, {\"role\": \"assistant\", \"content\": \"$back\"}]}"
done >chats.jsonl
head -4 chats.jsonl >eval.jsonl
cat >chat.jinja <<'END'
{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' + '\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}
END
base='base:
  preset: tiny
  tokenizer: {train: {vocab_size: 300, special_tokens: ["<|im_start|>", "<|im_end|>"]}}
  pretrain: {data: chats.jsonl, train: {steps: 4, batch: {tokens: 256}, learning_rate: 3e-3}}
data:
  train: chats.jsonl
  eval: [{name: held, path: eval.jsonl}]
  max_length: 128
  chat_template: chat.jinja'
cat >run.yaml <<END
name: chats
$base
trial:
  stages:
    - train: {epochs: 2, batch: {examples: 4}, learning_rate: 3e-3}
    - evaluate: {metrics: [loss, exact_match], max_new_tokens: 8}
output: one
END
cat >sweep.yaml <<END
name: chats
$base
trial:
  stages:
    - train: {data_budget: 8, epochs: 2, batch: {examples: 4}, learning_rate: 3e-3}
    - evaluate: {metrics: [loss, exact_match], max_new_tokens: 8}
axes:
  train.data_budget: [4, 16]
resources: {gangs: 1, ranks_per_gang: 1}
output: campaign
END

ranks() { mpirun --oversubscribe -n "$1" "$bin/finescale-worker" --run run.yaml --json --set output="$2" 2>"$2.log"; }
numbers() { grep -E '"(loss|held.*)":' | sort; }
one=$(ranks 1 one | numbers)
two=$(ranks 2 two | numbers)
[ -n "$one" ] || fail "one rank gave nothing: $(cat one.log)"
[ "$one" = "$two" ] || fail "two ranks differ: $one / $two $(cat two.log)"
expect "what was detected" "$(cat two.log)" "16 of {messages} from JSONL"
expect "first run" "$(cat one.log)" "tokens cached in"
tokens=("$PWD"/one/cache/*.tokens)
[ -e "${tokens[0]}" ] || fail "no token cache in one/cache"

export FINESCALE_CACHE_DIR=$PWD/one/cache
again=$(ranks 1 again | numbers)
expect "second run" "$(cat again.log)" "tokens from the cache"
[ "$one" = "$again" ] || fail "the cache changes numbers: $one / $again"
for file in "${tokens[@]}"; do printf 'x' | dd of="$file" bs=1 seek=100 conv=notrunc status=none; done
damaged=$(ranks 1 damaged | numbers)
expect "damaged cache" "$(cat damaged.log)" "the cached tokens were made again: its checksum is wrong"
[ "$one" = "$damaged" ] || fail "a damaged cache changes numbers: $one / $damaged"
unset FINESCALE_CACHE_DIR

expect "plan" "$("$bin/finescale" plan sweep.yaml 2>&1)" "chats.jsonl: 16 of {messages} from JSONL"
said=$("$bin/finescale" run sweep.yaml 2>&1) || fail "run: $said"
expect "run" "$said" "chats.jsonl: 16 of {messages} from JSONL"
expect "run" "$("$bin/finescale" status campaign 2>&1)" "done 2"
ls campaign/cache/*.tokens >/dev/null || fail "no token cache in the campaign"
[ $failures -eq 0 ] && echo "chats: all as expected"
exit $((failures > 0))
