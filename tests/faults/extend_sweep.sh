#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A campaign that grows (run --extend) ends with the metrics of the larger sweep run at once, executes no finished stage again,
# and may be killed in the middle.
#   extend_sweep.sh BIN_DIR WORK_DIR
set -uo pipefail
finescale=$(cd "$1" && pwd)/finescale
work=$2
rm -rf "$work"
mkdir -p "$work"
cd "$work" || exit 1
failures=0
fail() { echo "extend_sweep: FAILED: $*"; failures=$((failures + 1)); }
must() { "$@" >last.log 2>&1 || { fail "$*"; tail -20 last.log; }; }

"$finescale" init s 2>/dev/null || exit 1
sed -i -e 's/steps: 150/steps: 10/' -e 's/to: 1600, points: 6/to: 100, points: 2/' -e 's/data_budget: 400/data_budget: 50/g' \
  -e 's/to: 3.2e-2, points: 6/to: 4e-3, points: 2/' -e 's/epochs: 4/epochs: 1/' -e 's/seed: \[1, 2\]/seed: [1]/' s/sweep.yaml
# A budget, a seed and an axis more.
sed -e 's/to: 100, points: 2/to: 200, points: 3/' -e 's/seed: \[1\]/seed: [1, 2]\n  train.weight_decay: [0, 0.1]/' s/sweep.yaml >s/grown.yaml
run() { "$finescale" run "s/$1.yaml" --set output="$2" "${@:3}"; }
# Rows without the names of trials, which a campaign of its own counts otherwise: one a line, sorted.
rows() {
  "$finescale" results "$1" --json --canonical | tr -d '\n' | sed -E -e 's/"trial": "[^"]*"//g' -e 's/, *\{ *"artifacts"/\n{ "artifacts"/g' \
    -e 's/^\[ *//' -e 's/\]$//' | sort
}
artifacts() { stat -c '%i %Y %n' "$1"/artifacts/*/manifest.json | sed "s# $1/# #" | sort; }

must run sweep small
artifacts small >artifacts.before
"$finescale" results small --csv | cut -d, -f1 >names.before
cp -r small killed

run grown whole >whole.log 2>&1 &
whole=$!
while [ ! -e whole/coordinator.json ] && kill -0 $whole 2>/dev/null; do sleep 0.05; done
run grown whole --extend >last.log 2>&1
[ $? -eq 3 ] && grep -q 'another coordinator runs this campaign (process' last.log || fail "a live campaign was extended"
wait $whole || fail "the larger sweep"

run grown small >last.log 2>&1
[ $? -eq 2 ] && grep -q -- '--extend adds these trials' last.log || fail "a grown sweep was taken without --extend"
must run grown small --extend
[ "$(rows small)" = "$(rows whole)" ] || { fail "metrics differ"; diff <(rows small) <(rows whole) | head; }
must "$finescale" audit small
artifacts small >artifacts.after
[ -z "$(comm -23 artifacts.before artifacts.after)" ] || fail "a finished stage was executed again"
"$finescale" results small --csv | cut -d, -f1 >names.after
head -n "$(wc -l <names.before)" names.after | diff -q names.before - >/dev/null || fail "trials changed their names"
must "$finescale" fit small
must "$finescale" report small

# The same command again, with and without the flag, does nothing; the file that it grew from is refused.
reference=$("$finescale" results small --json --canonical)
must run grown small --extend
must run grown small
[ "$(artifacts small)" = "$(cat artifacts.after)" ] || fail "a finished campaign worked again"
run sweep small --extend >last.log 2>&1
[ $? -eq 2 ] && grep -q -- '- axes.seed: 2' last.log || fail "a smaller sweep was taken"

# Killed before and after its plan is stored, and at a commit.
for point in coordinator.before_plan coordinator.after_plan coordinator.after_publish_artifact; do
  FINESCALE_CRASH_POINT=$point run grown killed --extend >last.log 2>&1
  [ $? -eq 137 ] || fail "$point was not passed"
done
must run grown killed --extend
[ "$("$finescale" results killed --json --canonical)" = "$reference" ] || fail "results differ after a kill"
must "$finescale" audit killed
echo "extend_sweep: $failures failures"
[ $failures -eq 0 ]
