#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Budgets that share trunks: the results of the sweep without sharing, bit for bit; as many tokens and FLOPs as planned, each
# executed once; the same after kills. Then searches: halving tries the same trials after any kill, asha forgets no decision.
#   trunk_sweep.sh BIN_DIR WORK_DIR
set -uo pipefail
source_dir=$(cd "$(dirname "$0")/../.." && pwd)
finescale=$(cd "$1" && pwd)/finescale
work=$2
rm -rf "$work"
mkdir -p "$work"
cd "$work" || exit 1
. "$source_dir/tests/faults/words.sh"
failures=0
say() { echo "trunk_sweep: $*"; }
fail() { say "FAILED: $*"; failures=$((failures + 1)); }
resources='resources: {gangs: 2, ranks_per_gang: 1, heartbeat_timeout: 20, orphan_timeout: 10, retry_delay: 0.1, max_attempts: 8}'

run_once() {  # run_once DIR [VAR=VALUE...] [-- OPTIONS...]
  local out=$1 variables=()
  shift
  while [ $# -gt 0 ] && [ "$1" != -- ]; do variables+=("$1"); shift; done
  shift || true
  env "${variables[@]}" timeout 240 "$finescale" run sweep.yaml --set output="$out" "$@" >>"$out.log" 2>&1
}
finish() {  # finish DIR: until it is done
  local again=0
  until run_once "$1"; do
    again=$((again + 1))
    [ $again -lt 6 ] || { fail "$1 does not end"; tail -5 "$1.log"; return; }
  done
}
results() { "$finescale" results "$1" --json --canonical; }
audited() { "$finescale" audit "$1" >audit.log || { fail "audit of $1"; head -5 audit.log; }; }
number() { sed -nE "s/^ *\"$1\": *([0-9.e+]+),?$/\\1/p" | head -1; }  # number FIELD: of a JSON document, one field a line
crash() {  # crash DIR POINT:N
  run_once "$1" FINESCALE_CRASH_POINT="$2" FINESCALE_CRASH_ONCE="$PWD/once-$1"
  [ -e "once-$1" ] || fail "$2 was never passed"
  finish "$1"
}

write_words
write_word_sweep trunks 'schedule: {wsd: {decay: 0.25}}, warmup: 2' '[1, 2]' <<<"$resources"
"$finescale" plan sweep.yaml --json >plan.json || fail plan
run_once apart -- --set resources.share_trunks=false || { fail "without sharing"; tail -5 apart.log; }
run_once shared || { fail "with sharing"; tail -5 shared.log; }
reference=$(results apart)
[ "$(results shared)" = "$reference" ] || { fail "sharing changes results"; diff <(echo "$reference") <(results shared) | head -5; }
audited shared
audited apart
for field in train_tokens train_flops; do
  planned=$(number $field <plan.json)
  unshared=$(number ${field}_unshared <plan.json)
  executed=$("$finescale" audit shared --json | number $field)
  say "$field: planned $planned (unshared $unshared), executed $executed"
  awk -v a="$planned" -v b="$executed" 'BEGIN { exit !(a == b && a > 0) }' || fail "$field: $executed instead of $planned"
done
awk -v a="$(number train_tokens <plan.json)" -v b="$(number train_tokens_unshared <plan.json)" 'BEGIN { exit !(a < 0.8 * b) }' ||
  fail "sharing saves little"
[ "$(ls apart/artifacts | wc -l)" -lt "$(ls shared/artifacts | wc -l)" ] || fail "no trunk is there"

for point in coordinator.after_lease:6 coordinator.after_publish_artifact:5 worker.before_commit_request:6 worker.after_checkpoint:4; do
  crash "killed-$point" "$point"
  [ "$(results "killed-$point")" = "$reference" ] || fail "$point: results differ"
  audited "killed-$point"
done
# Shared or not may change on the way: keys do not depend on it.
run_once changed FINESCALE_CRASH_POINT=coordinator.after_publish_artifact:7 FINESCALE_CRASH_ONCE="$PWD/once-changed"
run_once changed -- --set resources.share_trunks=false || fail "a campaign that stops sharing"
[ "$(results changed)" = "$reference" ] || fail "a campaign that stops sharing has other results"
audited changed

search() { write_word_sweep "$1" 'schedule: wsd' '[1, 2, 3]' <<<"search: $2
$resources"; }
search halving '{halving: {eta: 2, per: [train.method]}}'
run_once halved || { fail halving; tail -5 halved.log; }
reference=$(results halved)
count=$(grep -c '"trial"' <<<"$reference")
[ "$count" -eq 12 ] || fail "halving ran $count trials, not 6 + 2 + 2 + 2: at least one of each method goes on"
audited halved
for point in coordinator.after_search_decision:1 coordinator.after_plan:2 coordinator.before_commit_transaction:9 worker.stage_received:8; do
  crash "halved-$point" "$point"
  [ "$(results "halved-$point")" = "$reference" ] || fail "halving, $point: results differ"
  audited "halved-$point"
done

search asha '{asha: {eta: 2}}'
for point in coordinator.after_search_decision:2 coordinator.after_publish_artifact:12; do
  out=asha-$point
  run_once "$out" FINESCALE_CRASH_POINT="$point" FINESCALE_CRASH_ONCE="$PWD/once-$out"
  "$finescale" results "$out" --csv | cut -d, -f1,3-5 >before.csv
  finish "$out"
  "$finescale" results "$out" --csv | cut -d, -f1,3-5 | head -n "$(wc -l <before.csv)" | diff -q - before.csv >/dev/null ||
    fail "asha, $point: trials changed"
  audited "$out"
done
search tpe '{tpe: {trials: 6, startup: 3}}'
run_once tpe || { fail tpe; tail -5 tpe.log; }
[ "$(results tpe | grep -c '"state": "done"')" -eq 6 ] || fail "tpe did not run 6 trials"
audited tpe

say "$failures failures"
[ $failures -eq 0 ]
