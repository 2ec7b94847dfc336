#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# finescale generate on the trials of a small sweep, with the real programs.
#   generate.sh BIN_DIR WORK_DIR
set -uo pipefail
bin=$(cd "$1" && pwd)
work=$2
finescale=$bin/finescale
rm -rf "$work"
mkdir -p "$work"
cd "$work" || exit 1
failures=0

fail() {
  echo "FAILED: $*" >&2
  failures=$((failures + 1))
}
same() { # same NAME A B
  [ "$2" = "$3" ] || fail "$1: '$2' is not '$3'"
}
# refused NAME CODE 'text of the message' ARGS...
refused() {
  local name=$1 code=$2 wanted=$3 output status
  shift 3
  output=$("$finescale" generate "$@" 2>&1 </dev/null)
  status=$?
  [ "$status" -eq "$code" ] || fail "$name: exit code $status instead of $code: $output"
  case $output in *"$wanted"*) ;; *) fail "$name: the message lacks '$wanted': $output" ;; esac
}
values() { # values NAME: of a JSON document, one a line
  grep -oE "\"$1\": *\"[^\"]*\"" | sed -E 's/^[^:]*: *"(.*)"$/\1/'
}

"$finescale" init s >/dev/null || exit 1
sed -i -e 's/steps: 150/steps: 20/' -e 's/to: 1600, points: 6/to: 100, points: 2/' -e 's/data_budget: 400/data_budget: 50/g' -e '/^tune:/,/^$/d' s/sweep.yaml
"$finescale" run s/sweep.yaml --set output=runs >/dev/null 2>&1 || exit 1

# Every way to name a model: full fine-tuning, an adapter on its base, the base, the artifact itself, an export.
rules=(--max-new 12 --temperature 1 --seed 2)
ask() { "$finescale" generate "$@" "${rules[@]}" 2>stats; }
text=$(ask runs:t0001 --prompt hello) || fail "DIR:TRIAL ends with $?"
[ -n "$text" ] || fail "the model says nothing: what follows would prove nothing"
grep -q 'tokens/s' stats || fail "no figures on standard error"
same "DIR TRIAL" "$(ask runs t0001 --prompt hello)" "$text"
for trial in $("$finescale" results runs --json | values trial) pretrain; do
  ask "runs:$trial" --prompt hello >/dev/null || fail "trial $trial ends with $?"
done
key=$("$finescale" results runs --json | values '(checkpoint|adapter)' | head -1)
same "artifact" "$(ask "runs/artifacts/$key" --prompt hello)" "$text"
"$finescale" export runs t0001 --to exported --format hf --merge >/dev/null 2>&1 || fail "export ends with $?"
same "exported" "$(ask exported --prompt 'hello<|sep|>')" "$text"
same "standard input" "$(printf hello | ask runs:t0001)" "$text"

# Answers do not depend on the batch or the threads; they do on the seed.
for i in $(seq 1 9); do echo "{\"prompt\": \"word number $i\"}"; done >prompts.jsonl
sample() { "$finescale" generate runs:t0001 --prompts prompts.jsonl --max-new 10 --temperature 1 --top-p 0.9 --json "$@" 2>/dev/null | grep -v '"seconds"'; }
whole=$(sample)
for options in "--batch 1" "--batch 4" "--threads 1" "--batch 2 --threads 2"; do
  # shellcheck disable=SC2086
  same "sampling with $options" "$(sample $options)" "$whole"
done
[ "$(sample --seed 2)" != "$whole" ] || fail "another seed gives the same answers"
same "numbered answers" "$("$finescale" generate runs:t0001 --prompts prompts.jsonl --max-new 3 2>/dev/null | grep -c '^\[[0-9]\] word number')" 9

# A stop string is not in the text, and is named as the reason.
long=$("$finescale" generate runs:t0001 --prompt hello --max-new 30 --temperature 1.5 --seed 3 2>/dev/null)
stop=${long:2:2}
[ ${#stop} -eq 2 ] || fail "the long answer is too short: $long"
stopped() { "$finescale" generate runs:t0001 --prompt hello --max-new 30 --temperature 1.5 --seed 3 --stop "$stop" "$@" 2>/dev/null; }
same "text in front of a stop string" "$(stopped)" "${long%%"$stop"*}"
same "reason" "$(stopped --json | values finish)" stop_string

# A chat without a template: each line is a prompt. With one, the model hears what was said before.
second() { ask "$1" --prompt none --prompt "$2" | sed '1,/^\[2\]/d'; } # the answer to the second of two prompts
chat() {
  local model=$1
  shift
  printf '%s\n' "$@" | "$finescale" chat "$model" "${rules[@]}" 2>/dev/null
}
same "chat" "$(chat runs:t0001 hello again)" "$text
$(second runs:t0001 again)"
cp -r exported chatty
echo '{% for m in messages %}{{ m.content }}{% endfor %}<|sep|>' >chatty/chat_template.jinja
same "chat with a template" "$(chat chatty hello again)" "$text
$(second exported "hello${text}again<|sep|>")"
same "/clear" "$(chat chatty hello /clear again)" "$text
$(second exported 'again<|sep|>')"
"$finescale" chat exported <<<hello >chat.out 2>&1 && fail "a chat without a template begins"
grep -q 'has no chat template' chat.out || fail "the message lacks the template: $(cat chat.out)"

# An interrupt ends the answer, not the output.
for i in $(seq 1 20000); do echo "{\"prompt\": \"word number $i\"}"; done >many.jsonl
"$finescale" generate runs:t0001 --prompts many.jsonl --max-new 200 --temperature 3 --json >interrupted.json 2>/dev/null &
sleep 2
kill -INT $!
wait $!
same "exit code after an interrupt" $? 130
same "what an interrupted command had made" "$(values finish <interrupted.json | tail -1)" interrupted
same "answers of an interrupted command" "$(values finish <interrupted.json | wc -l)" 20000

refused "no model" 2 'by where it was downloaded to' nowhere/SmolLM2-135M --prompt a
refused "a name that no file can have" 2 'does not exist' "$(printf 'x%.0s' $(seq 300))" --prompt a
refused "no model in a directory" 2 'config.json is missing' s --prompt a
refused "campaign without trial" 2 'a campaign has many models' runs --prompt a
refused "unknown trial" 2 'no trial t001, did you mean t0001?' runs:t001 --prompt a
refused "empty prompt" 2 'the prompt is empty' runs:t0001 --prompt '' --raw
refused "temperature" 2 'temperature is -1, must be >= 0' runs:t0001 --prompt a --temperature -1
refused "unknown flag" 2 '--heat' runs:t0001 --prompt a --heat 3
refused "unknown stop token" 2 'the tokenizer has no token <|none|>' runs:t0001 --prompt a --stop-token '<|none|>'
echo '{"promt": "a"}' >bad.jsonl
refused "bad line" 2 'bad.jsonl:1: "prompt" is missing' runs:t0001 --prompts bad.jsonl
refused "error as JSON" 2 '"kind":"config"' nowhere --prompt a --json
"$finescale" generate --help | grep -q -- '--repetition-penalty' || fail "--help does not list the options"

[ "$failures" -eq 0 ] && echo "all good"
exit "$((failures > 0))"
