#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A chain of stages with the real programs: train, answer, choose the right answers, train the base on them, measure. The same
# results after kills and on two ranks, equal stages shared, accounting that audits; then contrasts and a study.
#   chain_sweep.sh BIN_DIR WORK_DIR
set -uo pipefail
finescale=$(cd "$1" && pwd)/finescale
work=$2
rm -rf "$work"
mkdir -p "$work"
cd "$work" || exit 1
failures=0
say() { echo "chain_sweep: $*"; }
fail() { say "FAILED: $*"; failures=$((failures + 1)); }

cat >sweep.yaml <<'END'
name: chain
base:
  preset: tiny
  tokenizer: {train: {vocab_size: 260}}
  pretrain: {data: {task: {edit: {length: 3}, examples: 500}}, train: {steps: 40, learning_rate: 3e-3, batch: {tokens: 1024}}}
data:
  train: {task: {edit: {operations: [copy, reverse], length: 3}, examples: 300}}
  eval: [{name: held_out, task: {edit: {operations: [copy, reverse], length: 3}, examples: 30}}]
  max_length: 64
trial:
  stages:
    - train: {epochs: 12, learning_rate: 3e-3, batch: {examples: 16}}
    - generate: {samples: 1, data_budget: 80, temperature: 0.7, max_new_tokens: 8}
    - select: {verified: {}}
    - {name: final, from: [base, select], train: {steps: 20, learning_rate: 3e-3, batch: {examples: 16}}}
    - evaluate: {metrics: [loss, accuracy, format_error, step_error, answer_error], max_new_tokens: 8}
axes:
  generate.samples: [1, 4]
  seed: [1, 2]
contrasts:
  - {name: more-answers, metric: generate.examples, difference: {of: {generate.samples: 4}, to: {generate.samples: 1}}, expect: "> 100"}
resources: {gangs: 2, ranks_per_gang: 1, heartbeat_timeout: 20, orphan_timeout: 10, retry_delay: 0.1, max_attempts: 8}
study: {number: 999, title: a test, claim: four answers are more than one}
END

run_once() {  # run_once DIR [VAR=VALUE...] [-- OPTIONS...]
  local out=$1 variables=()
  shift
  while [ $# -gt 0 ] && [ "$1" != -- ]; do variables+=("$1"); shift; done
  shift || true
  env "${variables[@]}" timeout 200 "$finescale" run sweep.yaml --set output="$out" "$@" >>"$out.log" 2>&1
}
results() { "$finescale" results "$1" --json --canonical; }

"$finescale" plan sweep.yaml --json >plan.json || fail plan
# Tokenizer, base, two seeds of train; four of everything behind it.
grep -q '"stages": 20,' plan.json || fail "plan does not share the beginning: $(grep '"stages"' plan.json)"
run_once whole || { fail run; tail -5 whole.log; }
reference=$(results whole)
[ "$(grep -c '"state": "done"' <<<"$reference")" -eq 4 ] || fail "not every trial is done"
grep -q '"select.examples"' <<<"$reference" || fail "the choice has no metric"
"$finescale" audit whole >audit.log || fail "audit"

for point in worker.before_manifest:7 coordinator.after_publish_artifact:9 worker.before_commit_request:8; do
  run_once "killed-$point" FINESCALE_CRASH_POINT="$point" FINESCALE_CRASH_ONCE="$PWD/once-$point"
  [ -e "once-$point" ] || fail "$point was never passed"
  run_once "killed-$point" || run_once "killed-$point" || fail "$point: does not end"
  [ "$(results "killed-$point")" = "$reference" ] || fail "$point: results differ"
  "$finescale" audit "killed-$point" >audit.log || fail "$point: audit"
done
run_once two -- --set resources.gangs=1 --set resources.ranks_per_gang=2 --set mesh.data=2 || { fail "two ranks"; tail -5 two.log; }
[ "$(results two)" = "$reference" ] || fail "two ranks give other results"

"$finescale" results whole --contrasts >contrasts.txt || fail "results --contrasts"
grep -q 'more-answers: reproduced' contrasts.txt || fail "the contrast: $(cat contrasts.txt)"
grep -q 'The claim' whole/report/index.html || fail "the report does not show the claim"
"$finescale" study sweep.yaml --set output=whole --json >study.json 2>study.log || fail "study of a finished campaign"
grep -q '"verdict": "reproduced"' study.json || fail "verdict"
"$finescale" study >list.txt || fail "list of studies"
grep -q '^51-allora' list.txt || fail "study 51 is not listed"

say "$failures failures"
[ $failures -eq 0 ]
