#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Named datasets, surgery, rounds, derived values and suites with the real programs: counts in the plan, wrong ones refused at their line,
# the same results on two ranks, accounting that audits.
#   data_sweep.sh BIN_DIR WORK_DIR
set -uo pipefail
finescale=$(cd "$1" && pwd)/finescale
work=$2
rm -rf "$work"
mkdir -p "$work"
cd "$work" || exit 1
failures=0
say() { echo "data_sweep: $*"; }
fail() { say "FAILED: $*"; failures=$((failures + 1)); }

for i in $(seq 1 40); do echo "{\"question\": \"q$i\", \"answer\": \"a$i\", \"source\": \"s$((i % 2))\"}"; done >raw.jsonl
cat >sweep.yaml <<'END'
name: data
let: {n: 60, half: round(n * share), share: 0.5}
base:
  preset: tiny
  tokenizer: {train: {vocab_size: 260}}
  pretrain: {data: {task: {edit: {length: 3}, examples: 400}}, train: {steps: 30, learning_rate: 3e-3, batch: {tokens: 1024}}}
data:
  sets:
    raw: {path: raw.jsonl, apply: [{filter: {column: source, is: s1}}, {template: {prompt: "Q {question}", response: "{answer}"}}]}
    edit: {task: {edit: {operations: [copy, reverse], length: 3}, examples: 300}}
    shots: {from: edit, apply: [{sample: 100}, {k_shot: {examples: 2, choose: bm25, shot: "{prompt}={response}"}}]}
    mixed: {mix: {parts: {edit: 3, raw: {ratio: 1, repeat: true}}, examples: $n, replay: {data: shots, fraction: 0.25}}}
    own: {stage: generate, apply: [{dedupe: {}}]}
    held: {task: {edit: {operations: [copy, reverse], length: 3}, examples: 20}, apply: [{k_shot: {examples: 2, data: edit, choose: random}}]}
  train: {from: edit}
  eval:
    - {name: plain, task: {edit: {operations: [copy], length: 3}, examples: 20}, tags: [easy, seen]}
    - {name: other, task: {edit: {operations: [reverse], length: 3}, examples: 30}, tags: [seen]}
    - {name: shot, data: held, tags: [shown]}
  max_length: 96
trial:
  stages:
    - {name: first, train: {data: mixed, data_budget: $half, steps: 10, learning_rate: 3e-3, batch: {examples: 8}}}
    - rounds:
        times: 2
        stages:
          - generate: {data: edit, data_budget: 40, temperature: 0.7, max_new_tokens: 8}
          - {name: again, from: [base], train: {data: own, steps: 6, learning_rate: 3e-3, batch: {examples: 8}}}
    - {name: soup, from: [base, first, again], transform: {task_vectors: [0.5, 0.5]}}
    - evaluate: {metrics: [loss, accuracy, calibration_error], max_new_tokens: 8}
axes:
  let.share: [0.25, 0.5]
  seed: [1, 2]
contrasts:
  - {name: place, metric: all-sets.loss, optimum_at: let.share}
  - {name: order, metric: seen-sets.loss, spearman: shown-sets.loss}
resources: {gangs: 2, ranks_per_gang: 1, heartbeat_timeout: 20, orphan_timeout: 10, retry_delay: 0.1}
END

"$finescale" plan sweep.yaml >plan.txt 2>plan.err || fail "plan: $(cat plan.err)"
grep -q 'raw.jsonl\|JSONL 40, filter 20, template 20' plan.txt || fail "plan does not count: $(grep -i data plan.txt)"
"$finescale" plan sweep.yaml --json >plan.json 2>/dev/null || fail "plan --json"
# Tokenizer, base; two shares and seeds of eight stages, where the ranks and rounds share nothing.
grep -q '"trials": 4' plan.json || fail "trials"

refused() {  # refused WHAT LINE_OF_MESSAGE SED...
  local what=$1 message=$2
  shift 2
  sed "$@" sweep.yaml >wrong.yaml
  "$finescale" run wrong.yaml --set output=wrong >wrong.out 2>wrong.err
  local code=$?
  [ $code -eq 2 ] || fail "$what: exit code $code"
  grep -q "$message" wrong.err || fail "$what: $(head -2 wrong.err)"
  [ -e wrong ] && fail "$what: something was written"
}
refused 'unknown name' 'wrong.yaml:[0-9]*:[0-9]*: .*no dataset is called edi, did you mean edit' -e 's/  train: {from: edit}/  train: {from: edi}/'
refused 'circle' 'the dataset is made of itself' -e 's/    edit: {task: {edit: {operations: \[copy, reverse\], length: 3}, examples: 300}}/    edit: {from: mixed}/'
refused 'later stage' 'comes later' -e 's/train: {data: mixed,/train: {data: own,/'
refused 'too many' 'wrong.yaml:[0-9]*:[0-9]*: .*, but the dataset has at most 300' -e 's/{sample: 100}/{sample: 400}/'
refused 'too many of files' 'wrong.yaml:9:[0-9]*: .*there are only 20' -e 's/response: "{answer}"}}\]/response: "{answer}"}}, {top: 21}]/'
refused 'budget' 'wrong.yaml:[0-9]*:[0-9]*: .*has 80 examples' -e 's/data_budget: $half/data_budget: 81/'
refused 'pattern' 'is no regular expression' -e "s/column: source, is: s1/column: source, matches: '('/"

results() { "$finescale" results "$1" --json --canonical; }
timeout 200 "$finescale" run sweep.yaml --set output=whole >whole.log 2>&1 || { fail run; tail -5 whole.log; }
reference=$(results whole)
[ "$(grep -c '"state": "done"' <<<"$reference")" -eq 4 ] || fail "not every trial is done"
for metric in all-sets.loss seen-sets.accuracy shown-sets.calibration_error shot.accuracy generate@1.accuracy generate.accuracy; do
  grep -q "\"$metric\"" <<<"$reference" || fail "no metric $metric"
done
"$finescale" audit whole >audit.log || fail "audit"
timeout 200 "$finescale" run sweep.yaml --set output=two --set resources.gangs=1 --set resources.ranks_per_gang=2 --set mesh.data=2 >two.log 2>&1 || { fail "two ranks"; tail -5 two.log; }
[ "$(results two)" = "$reference" ] || fail "two ranks give other results"
"$finescale" results whole --contrasts >contrasts.txt || fail "results --contrasts"
grep -q 'let.share at which all-sets.loss is best' contrasts.txt || fail "contrasts: $(cat contrasts.txt)"
# The surgery's weights are a checkpoint like any other.
trial=$(grep -o '"trial": "[^"]*"' <<<"$reference" | head -1 | cut -d'"' -f4)
"$finescale" export whole "$trial" --to exported --format hf >export.log 2>&1 || fail "export: $(cat export.log)"

say "$failures failures"
[ $failures -eq 0 ]
